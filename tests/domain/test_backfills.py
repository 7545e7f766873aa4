"""The steps of a backfill: every occurrence once, at its rate, by its overlap rule."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from factories import MORNING_MS, definition
from scheduler_svc.domain.backfills import (
    AHEAD_MS,
    OCCURRENCES_MAX,
    OPEN_MAX,
    STEP_RUNS,
    Backfill,
    BackfillOverlap,
    Extent,
    Step,
    extents,
    step,
    timetable_of,
)
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.domain.occurrences import Timetable, count_between
from scheduler_svc.domain.schedule import Schedule

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
JOB, ONE, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
BEGIN_MS = MORNING_MS - 30 * DAY


def a_backfill(*, cron: str = "0 * * * *", hours: int = 24, **changes: Any) -> Backfill:
    """Ask for so many hours of a job that fires each hour."""
    schedule: Schedule = definition(schedule={"cron": cron}).schedule
    fields: dict[str, Any] = {
        "id": ONE,
        "job_id": JOB,
        "namespace": "default",
        "range_from": instant_at(BEGIN_MS),
        "range_to": instant_at(BEGIN_MS + hours * HOUR),
        "schedule": schedule,
        "anchored_at": instant_at(BEGIN_MS),
        "overlap": "allow",
        "max_per_minute": 60,
        "total": hours,
        "next_from_ms": BEGIN_MS,
        "paced_ms": MORNING_MS,
        "created_at": instant_at(MORNING_MS),
    }
    return Backfill(**(fields | changes))


def extent(timetable: Timetable, from_ms: int, to_ms: int) -> Extent:
    *_, whole = extents(timetable, from_ms, to_ms)
    return whole


def stepped(backfill: Backfill, *, now_ms: int, room: int = 10_000) -> Step:
    return step(
        backfill,
        timetable_of(backfill),
        to_ms=epoch_ms(backfill.range_to),
        room=room,
        now_ms=now_ms,
    )


def after(backfill: Backfill, made: Step, *, ended: bool = True) -> Backfill:
    """Write a step; its runs end at once, unless said otherwise."""
    created = backfill.created + len(made.runs)
    skipped = sum(run.status == "skipped" for run in made.runs)
    return structs.replace(
        backfill,
        created=created,
        done=created if ended else backfill.done + skipped,
        next_from_ms=made.next_from_ms,
        paced_ms=made.paced_ms,
    )


@given(
    overlap=st.sampled_from(["skip", "queue", "allow"]),
    rate=st.integers(1, 6000),
    hours=st.integers(0, 300),
    pauses=st.lists(st.integers(100, 30_000), min_size=1, max_size=5),
)
def test_however_it_is_stepped_each_occurrence_is_made_once_in_order_and_the_rate_holds(
    overlap: BackfillOverlap, rate: int, hours: int, pauses: list[int]
) -> None:
    backfill = a_backfill(hours=hours or 1, overlap=overlap, max_per_minute=rate)
    if not hours:
        backfill = structs.replace(backfill, range_to=instant_at(BEGIN_MS + 1))
    now_ms, dues, made_at = MORNING_MS, [], []
    for turn in range(200_000):  # an occurrence a minute, looked at ten times a second
        made = stepped(backfill, now_ms=now_ms)
        dues += [run.due_ms for run in made.runs]
        made_at += [run.scheduled_ms for run in made.runs]
        backfill = after(backfill, made)
        if made.exhausted:
            break
        now_ms += pauses[turn % len(pauses)]
    wanted = [BEGIN_MS + n * HOUR for n in range(max(hours, 1))]
    assert made_at == wanted
    for begin in dues:
        within = sum(begin <= due < begin + MINUTE for due in dues)
        assert within <= rate


def test_a_step_looks_a_little_ahead_and_no_further() -> None:
    made = stepped(a_backfill(hours=200, max_per_minute=6000), now_ms=MORNING_MS)
    assert len(made.runs) == OPEN_MAX
    made = stepped(a_backfill(hours=200), now_ms=MORNING_MS)
    assert [run.due_ms - MORNING_MS for run in made.runs] == [0, 1000, 2000]
    assert made.paced_ms == MORNING_MS + 3000
    assert made.runs[-1].due_ms <= MORNING_MS + AHEAD_MS


def test_time_lost_is_not_made_up_in_a_burst() -> None:
    late = a_backfill(hours=200, paced_ms=MORNING_MS - DAY)
    made = stepped(late, now_ms=MORNING_MS)
    assert len(made.runs) == 1 + AHEAD_MS // 1000
    assert min(run.due_ms for run in made.runs) == MORNING_MS


def test_two_backfills_of_one_range_have_runs_of_their_own() -> None:
    first = stepped(a_backfill(), now_ms=MORNING_MS).runs
    again = stepped(a_backfill(), now_ms=MORNING_MS).runs
    second = stepped(a_backfill(id=OTHER), now_ms=MORNING_MS).runs
    assert [run.id for run in first] == [run.id for run in again]
    assert not {run.id for run in first} & {run.id for run in second}
    assert first[0].id == run_id(JOB, BEGIN_MS, ONE) != run_id(JOB, BEGIN_MS)


def test_under_queue_one_is_made_and_the_next_waits_for_its_end() -> None:
    backfill = a_backfill(overlap="queue", max_per_minute=6000)
    made = stepped(backfill, now_ms=MORNING_MS)
    assert [run.status for run in made.runs] == ["due"]
    waiting = after(backfill, made, ended=False)
    held = stepped(waiting, now_ms=MORNING_MS + MINUTE)
    assert (held.runs, held.next_from_ms) == ([], made.next_from_ms)
    going = stepped(after(backfill, made), now_ms=MORNING_MS + MINUTE)
    assert [run.scheduled_ms for run in going.runs] == [BEGIN_MS + HOUR]


def test_under_skip_what_meets_an_unfinished_run_is_skipped_at_its_turn() -> None:
    backfill = a_backfill(overlap="skip")
    made = stepped(backfill, now_ms=MORNING_MS)
    assert [run.status for run in made.runs] == ["due"]
    later = stepped(after(backfill, made, ended=False), now_ms=MORNING_MS + 1000)
    assert [run.status for run in later.runs] == ["skipped"]


def test_without_room_it_waits_and_loses_nothing() -> None:
    backfill = a_backfill()
    made = stepped(backfill, now_ms=MORNING_MS, room=0)
    assert (made.runs, made.next_from_ms, made.exhausted) == ([], BEGIN_MS, False)
    assert len(stepped(backfill, now_ms=MORNING_MS, room=2).runs) == 2


def test_a_target_that_does_not_answer_gets_no_more_than_a_few() -> None:
    backfill = a_backfill(cron="* * * * * *", hours=1000, max_per_minute=6000)
    now_ms = MORNING_MS
    for _ in range(50):
        backfill = after(backfill, stepped(backfill, now_ms=now_ms), ended=False)
        now_ms += 1000
    assert backfill.created == OPEN_MAX <= STEP_RUNS


def test_a_range_is_counted_with_its_first_and_last_and_without_its_end() -> None:
    timetable = timetable_of(a_backfill())
    found = extent(timetable, BEGIN_MS, BEGIN_MS + 3 * HOUR)
    assert (found.count, found.first_ms, found.last_ms) == (3, BEGIN_MS, BEGIN_MS + 2 * HOUR)
    assert extent(timetable, BEGIN_MS + 1, BEGIN_MS + HOUR).count == 0


def test_a_range_of_many_slices_is_counted_as_one() -> None:
    timetable = timetable_of(a_backfill(cron="30 3 * * *"))
    begin, end = MORNING_MS - 3650 * DAY, MORNING_MS
    found = extent(timetable, begin, end)
    count, first, last = count_between(timetable, begin - 1, end - 1, 10_000)
    assert (found.count, found.first_ms, found.last_ms) == (count, first, last)
    assert count == 3650


def test_ten_million_occurrences_are_counted_no_further_than_is_allowed() -> None:
    timetable = timetable_of(a_backfill(cron="* * * * * *"))
    assert extent(timetable, 0, BEGIN_MS).count == OCCURRENCES_MAX + 1
