"""What holds for every schedule: order, inverses, counts, unions, exclusions, bounds, spread."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from domain.brute import rules
from scheduler_svc.domain.clock_changes import local
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import (
    SearchTooLong,
    Timetable,
    compile_schedule,
    count_between,
    fire_at,
    next_after,
    previous_before_or_at,
    spread_ms,
    take,
)
from scheduler_svc.domain.schedule import Schedule, Window

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
JOB = UUID("0198c0de-0000-7000-8000-000000000001")
DAY = 86_400_000


def compiled(schedule: Schedule, job_id: UUID = JOB) -> Timetable:
    return compile_schedule(schedule, job_id=job_id, created_at=CREATED)


def at(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


def walk(timetable: Timetable, after: int, until: int) -> list[int]:
    found: list[int] = []
    while (step := next_after(timetable, found[-1] if found else after)) is not None:
        if step > until:
            break
        found.append(step)
    return found


def bounded(test: Callable[..., None]) -> Callable[..., None]:
    """Pass over schedules that their exclusions empty: `check` refuses those."""

    @wraps(test)
    def judged(*given: Any, **named: Any) -> None:
        try:
            test(*given, **named)
        except SearchTooLong:
            reject()

    return judged


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"]
)
CRONS = st.sampled_from(
    ["*/20 * * * *", "30 2 * * *", "0 */3 * * MON-FRI", "0 0 L * *", "15 0-3 * * *", "H H * * *",
     "*/30 1-3 * * * *", "45 59 1,23 * * *", "0 12 15W * FRI#2"]
)  # fmt: skip
WINDOWS = st.tuples(st.integers(0, 600), st.integers(1, 90)).map(
    lambda span: Window(
        from_=CREATED + timedelta(hours=9 * span[0]),
        to=CREATED + timedelta(hours=9 * (span[0] + span[1])),
    )
)
EXCLUDED = st.sampled_from(
    ["* 2 * * *", "0-29 * * * SAT", "* * 1-10 * *", "50-55 * * * * *", "0 0 * * *", "* * * 3 +SUN"]
)
SCHEDULES = st.builds(
    Schedule,
    cron=CRONS | st.lists(CRONS, min_size=1, max_size=3),
    timezone=ZONES,
    dst_gap=st.sampled_from(["auto", "run_after", "skip"]),
    dst_overlap=st.sampled_from(["auto", "first", "second", "both"]),
    exclude=st.lists(EXCLUDED | WINDOWS, max_size=3),
    start=st.none() | st.just(datetime(2026, 3, 8, 6, 30, tzinfo=UTC)),
    end=st.none() | st.just(datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
) | st.builds(
    Schedule,
    every=st.sampled_from(["1h", "95m", "1d", "2700500ms"]),
    timezone=ZONES,
    exclude=st.lists(EXCLUDED | WINDOWS, max_size=2),
)
EDGES = ["2026-03-08T06:59Z", "2026-03-29T00:59Z", "2026-10-25T00:30Z", "2026-11-01T05:30Z"]
INSTANTS = st.integers(at("2026-01-01T00:00Z"), at("2026-12-01T00:00Z")) | st.sampled_from(
    [at(edge) for edge in EDGES]
)


@given(SCHEDULES, INSTANTS)
@bounded
def test_occurrences_increase_and_stepping_back_returns_over_each(
    schedule: Schedule, after: int
) -> None:
    timetable = compiled(schedule)
    steps = take(timetable, after, 12)
    assert all(earlier < later for earlier, later in pairwise([after, *steps]))
    for earlier, later in pairwise(steps):
        assert previous_before_or_at(timetable, later - 1) == earlier
        assert previous_before_or_at(timetable, earlier) == earlier
        assert next_after(timetable, (earlier + later) // 2) in {later, None} | set(steps)


@given(SCHEDULES, INSTANTS, st.integers(0, 4 * DAY))
@bounded
def test_a_count_is_what_walking_finds(schedule: Schedule, after: int, length: int) -> None:
    timetable = compiled(schedule)
    steps = walk(timetable, after, after + length)
    expected = (len(steps), steps[0], steps[-1]) if steps else (0, None, None)
    assert count_between(timetable, after, after + length, 10**9) == expected
    if len(steps) > 3:
        assert count_between(timetable, after, after + length, 3) == (3, steps[0], steps[-1])


@given(SCHEDULES, INSTANTS)
@bounded
def test_pages_of_a_preview_neither_gap_nor_repeat(schedule: Schedule, after: int) -> None:
    timetable = compiled(schedule)
    whole = take(timetable, after, 20)
    paged: list[int] = []
    while len(paged) < len(whole):
        paged += take(timetable, paged[-1] if paged else after, 3)
    assert paged[: len(whole)] == whole


@given(st.lists(CRONS, min_size=2, max_size=4), ZONES, INSTANTS)
def test_a_union_occurs_when_any_of_its_expressions_does(
    crons: list[str], zone: str, after: int
) -> None:
    until = after + 3 * DAY
    apart = [compiled(Schedule(cron=cron, timezone=zone)) for cron in crons]
    expected = sorted({step for one in apart for step in walk(one, after, until)})
    assert walk(compiled(Schedule(cron=crons, timezone=zone)), after, until) == expected


@given(SCHEDULES, INSTANTS)
@bounded
def test_an_exclusion_removes_what_it_names_and_nothing_else(
    schedule: Schedule, after: int
) -> None:
    until = after + 2 * DAY
    plain = Schedule(
        **{
            name: getattr(schedule, name)
            for name in ("cron", "every", "timezone", "dst_gap", "dst_overlap", "start", "end")
        }
    )
    kept = walk(compiled(schedule), after, until)
    assert kept == [
        step for step in walk(compiled(plain), after, until) if not excluded(schedule, step)
    ]


def excluded(schedule: Schedule, step: int) -> bool:
    """Judge by the wall clock of zoneinfo and a schedule of the exclusion alone."""
    instant = instant_at(step)
    wall = instant.astimezone(rules(schedule.timezone)).replace(tzinfo=UTC)
    for entry in schedule.exclude:
        if isinstance(entry, Window):
            if entry.from_ <= instant < entry.to:
                return True
            continue
        unit = timedelta(minutes=1) if len(entry.split()) == 5 else timedelta(seconds=1)
        cut = wall.replace(second=0, microsecond=0) if unit.seconds == 60 else wall
        cut = cut.replace(microsecond=0)
        alone = compiled(Schedule(cron=entry))
        if previous_before_or_at(alone, epoch_ms(cut)) == epoch_ms(cut):
            return True
    return False


def test_every_is_elapsed_time_from_its_anchor_across_clock_changes() -> None:
    schedule = Schedule(
        every="24h", anchor=datetime(2026, 3, 27, 9, tzinfo=UTC), timezone="Europe/Berlin"
    )
    steps = take(compiled(schedule), at("2026-03-27T08:59Z"), 4)
    assert steps[0] == at("2026-03-27T09:00Z")
    assert {later - earlier for earlier, later in pairwise(steps)} == {DAY}
    assert [local(compiled(schedule), step)[11:16] for step in steps] == [
        "10:00", "10:00", "11:00", "11:00",
    ]  # fmt: skip


def test_every_without_an_anchor_first_occurs_one_period_after_creation() -> None:
    assert next_after(compiled(Schedule(every="90m")), epoch_ms(CREATED)) == at("2026-01-01T01:30Z")


def test_nothing_occurs_before_an_anchor() -> None:
    timetable = compiled(Schedule(every="1h", anchor=datetime(2027, 1, 1, tzinfo=UTC)))
    assert next_after(timetable, at("2026-06-01T00:00Z")) == at("2027-01-01T00:00Z")
    assert previous_before_or_at(timetable, at("2026-06-01T00:00Z")) is None


def test_instants_occur_once_each_in_order() -> None:
    first, second = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    timetable = compiled(Schedule(at=[first, second, first]))
    assert take(timetable, 0, 5) == [epoch_ms(second), epoch_ms(first)]
    assert next_after(timetable, epoch_ms(first)) is None


def test_start_is_inclusive_and_end_exclusive() -> None:
    timetable = compiled(
        Schedule(
            cron="0 * * * *",
            start=datetime(2026, 5, 1, 10, tzinfo=UTC),
            end=datetime(2026, 5, 1, 12, tzinfo=UTC),
        )
    )
    assert take(timetable, 0, 9) == [at("2026-05-01T10:00Z"), at("2026-05-01T11:00Z")]
    assert previous_before_or_at(timetable, at("2027-01-01T00:00Z")) == at("2026-05-01T11:00Z")
    assert previous_before_or_at(timetable, at("2026-05-01T09:59Z")) is None


def test_nothing_occurs_after_the_year_2199() -> None:
    for schedule in (Schedule(cron="0 0 * * *"), Schedule(every="1d")):
        assert next_after(compiled(schedule), at("2200-01-02T00:00Z")) is None
        assert previous_before_or_at(compiled(schedule), at("2200-01-02T00:00Z")) is not None


@pytest.mark.parametrize("number", range(20))
def test_spread_is_stable_and_never_reaches_the_next_occurrence(number: int) -> None:
    schedule = Schedule(cron=["0 9 * * *", "5 9 * * *"], spread="1h")
    timetable = compiled(schedule, UUID(int=number))
    assert spread_ms(timetable) == spread_ms(compiled(schedule, UUID(int=number)))
    assert 0 <= spread_ms(timetable) < 3_600_000
    nine, five_past = take(timetable, at("2026-05-01T00:00Z"), 2)
    assert nine <= fire_at(timetable, nine) < five_past
    assert fire_at(timetable, five_past) == five_past + spread_ms(timetable)


def test_spread_takes_many_values() -> None:
    drawn = {spread_ms(compiled(Schedule(every="1d", spread="1h"), UUID(int=n))) for n in range(99)}
    assert len(drawn) > 90


def test_equal_schedules_share_one_timetable_unless_the_job_matters() -> None:
    plain, hashed = Schedule(cron="0 9 * * *"), Schedule(cron="H 9 * * *")
    assert compiled(plain, UUID(int=1)) is compiled(plain, UUID(int=2))
    assert compiled(hashed, UUID(int=1)) is not compiled(hashed, UUID(int=2))


def test_a_long_exclusion_is_passed_in_few_steps() -> None:
    timetable = compiled(Schedule(cron="* * * * * *", exclude=["* * * * 1-11 *"]))
    assert next_after(timetable, at("2026-01-01T00:00Z")) == at("2026-12-01T00:00Z")
    halves = compiled(Schedule(cron="0 * * * *", exclude=["0-29 * * 1-11 *", "30-59 * * 1-11 *"]))
    assert next_after(halves, at("2026-01-01T00:00Z")) == at("2026-12-01T00:00Z")


def test_exclusions_that_leave_nothing_end_in_an_error_and_not_in_a_hang() -> None:
    timetable = compiled(
        Schedule(cron="* * * * * *", exclude=["*/2 * * * * *", "1-59/2 * * * * *"])
    )
    with pytest.raises(SearchTooLong):
        next_after(timetable, at("2026-01-01T00:00Z"))


@given(
    st.sampled_from(
        [
            {"cron": "*/7 * * * *"},
            {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
            {"cron": "0 9 1 * *", "end": instant_at(at("2026-06-01T00:00:00+00:00"))},
            {"every": "90m"},
            {"at": [instant_at(n * DAY) for n in range(20_500, 20_504)]},
        ]
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["next", "last", "take"]),
            st.integers(at("2026-02-01T00:00:00+00:00"), at("2026-07-01T00:00:00+00:00")),
            st.sampled_from([0, 0, 1, 60_000, 3_600_000]),
            st.integers(0, 7),
        ),
        max_size=12,
    ),
)
def test_what_a_timetable_remembers_never_shows(
    schedule: dict[str, Any], asked: list[tuple[str, int, int, int]]
) -> None:
    """Asked in any order, and near what was asked before, it answers as a new one does."""
    given_ = Schedule(**schedule)
    known = compiled(given_)
    moment = at("2026-03-29T00:30:00+00:00")
    for what, instant, step, count in asked:
        moment = moment + step if step else instant
        fresh = Timetable(known.schedule, known.cadence, known.exclusion, known.spread)
        match what:
            case "next":
                assert next_after(known, moment) == next_after(fresh, moment)
            case "last":
                assert previous_before_or_at(known, moment) == previous_before_or_at(fresh, moment)
            case _:
                assert take(known, moment, count) == take(fresh, moment, count)
