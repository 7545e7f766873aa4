"""After an outage: what was missed is sent or written down, each occurrence exactly once."""

import pytest

from clock import PassingClock
from factories import MORNING_MS
from receiver import Receiver
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.engine import deciding
from scheduler_svc.store.pool import Pool

EVERY = {"every": "1h"}


async def _outage(rig: Rig, hours: float, **misfire: object) -> list[tuple[str, str, int]]:
    """Let nobody claim for so long; tell what then became of the occurrences."""
    await rig.job(schedule=EVERY, misfire=misfire, overlap="allow")
    await rig.pass_time(int(hours * HOUR))
    await rig.work()
    return [
        (row["status"], row["reason"] or row["trigger"], row["occurrences"])
        for row in await rig.runs()
    ]


async def test_once_sends_the_latest_and_merges_the_others(rig: Rig) -> None:
    assert await _outage(rig, 40.5, policy="once") == [
        ("skipped", "merged", 39),
        ("succeeded", "catch_up", 1),
    ]
    (request,) = rig.receiver.requests
    assert request.headers["scheduler-trigger"] == "catch_up"
    assert request.headers["scheduler-scheduled-for"] == "2026-01-07T00:00:00Z"


async def test_once_merges_into_an_occurrence_that_is_on_time(rig: Rig) -> None:
    assert await _outage(rig, 40, policy="once") == [
        ("skipped", "merged", 39),
        ("succeeded", "schedule", 1),
    ]


async def test_once_gives_up_what_is_too_late(rig: Rig) -> None:
    assert await _outage(rig, 40.5, policy="once", max_lateness="20m") == [
        ("skipped", "too_late", 40),
    ]
    assert rig.receiver.requests == []


async def test_skip_sends_nothing_that_was_missed(rig: Rig) -> None:
    assert await _outage(rig, 40.5, policy="skip") == [("skipped", "misfire", 40)]


async def test_all_sends_each_that_is_not_too_late_oldest_first(rig: Rig) -> None:
    await _outage(rig, 40.5, policy="all", max_lateness="4h")
    await _caught_up(rig)
    sent = [one.headers["scheduler-scheduled-for"] for one in rig.receiver.requests]
    assert len(sent) == 4
    assert sent == sorted(sent)


TABLE = [
    ("once", None, [("merged", 39), ("catch_up", 1)]),
    ("once", "4h", [("too_late", 36), ("merged", 3), ("catch_up", 1)]),
    ("once", "20m", [("too_late", 40)]),
    ("skip", None, [("misfire", 40)]),
    ("skip", "4h", [("too_late", 36), ("misfire", 4)]),
    ("all", None, [("too_late", 16), *[("catch_up", 1)] * 24]),
    ("all", "4h", [("too_late", 36), *[("catch_up", 1)] * 4]),
    ("all", "7d", [("catch_up", 1)] * 40),
]


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue", "cancel"])
@pytest.mark.parametrize(("policy", "most", "became"), TABLE)
async def test_the_ledger_says_what_became_of_each_of_forty_occurrences(
    rig: Rig, policy: str, most: str | None, became: list[tuple[str, int]], overlap: str
) -> None:
    limit = {} if most is None else {"max_lateness": most}
    job = await rig.job(schedule=EVERY, misfire={"policy": policy, **limit}, overlap=overlap)
    await rig.pass_time(int(40.5 * HOUR))
    await _caught_up(rig)
    rows = await rig.runs(job)
    assert [(row["reason"] or row["trigger"], row["occurrences"]) for row in rows] == became
    at = MORNING_MS
    for row in rows:
        assert epoch_ms(row["scheduled_for"]) == at + HOUR
        at += HOUR * row["occurrences"]
        last = row["scheduled_until"]
        assert (last is None) == (row["occurrences"] == 1)
        assert last is None or epoch_ms(last) == at
        assert row["status"] == ("skipped" if row["reason"] else "succeeded")
    assert epoch_ms((await rig.timer(job))["scheduled_for"]) == MORNING_MS + 41 * HOUR


async def _caught_up(rig: Rig) -> None:
    """Work on for as long as anything of the past waits."""
    for _ in range(200):
        await rig.work()
        if all(row["status"] not in {"due", "running"} for row in await rig.runs()):
            return
        await rig.pass_time(100)
    raise AssertionError("the past does not end")


async def test_what_is_caught_up_goes_at_ten_a_second(rig: Rig) -> None:
    await _outage(rig, 40.5, policy="all", max_lateness="30d")
    rows = [row for row in await rig.runs() if row["next_attempt_at"] is not None]
    due = sorted(epoch_ms(row["next_attempt_at"]) for row in rows)
    assert due == [rig.clock.ms + 100 * n for n in range(1, 40)]


async def test_no_two_runs_of_a_job_that_may_not_overlap_are_caught_up_at_once(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY, misfire={"policy": "all", "max_lateness": "4h"})
    await rig.pass_time(int(40.5 * HOUR))
    await rig.tick()
    for left in (3, 2, 1, 0):
        await rig.pass_time(SECOND)
        await rig.tick()
        running = [row for row in await rig.runs(job) if row["status"] == "running"]
        waiting = [row for row in await rig.runs(job) if row["status"] == "due"]
        assert (len(running), len(waiting)) == (1, left)
        assert all(row["queued"] for row in waiting)
        await rig.send()


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
async def test_what_is_on_time_goes_before_what_waits_to_be_caught_up(
    rig: Rig, overlap: str
) -> None:
    misfire = {"policy": "all", "max_lateness": "4h", "grace": "1m"}
    job = await rig.job(schedule=EVERY, misfire=misfire, overlap=overlap)
    await rig.pass_time(41 * HOUR)
    await rig.tick()
    running = [row for row in await rig.runs(job) if row["status"] == "running"]
    assert [row["trigger"] for row in running] == ["schedule"]
    assert [row["queued"] for row in await rig.runs(job) if row["status"] == "due"] == [True] * 4
    await rig.send()
    assert len([row for row in await rig.runs(job) if row["queued"]]) == 3


async def test_the_past_gets_half_of_the_slots(engine_pool: Pool, receiver: Receiver) -> None:
    async with rigged(engine_pool, receiver, slots=10) as rig:
        late = {"policy": "all", "max_lateness": "4h"}
        for _ in range(3):
            await rig.job(schedule=EVERY, misfire=late, overlap="allow")
        await rig.pass_time(int(40.5 * HOUR))
        await rig.tick()
        assert [held.claim.trigger for held in rig.held()] == ["catch_up"] * 5
        fresh = await rig.job(schedule={"every": "10s"})
        await rig.pass_time(10 * SECOND)
        await rig.tick()
        assert len(rig.held()) == 6
        assert (await rig.run(fresh))["status"] == "running"
        await rig.send()
        await rig.tick()
        assert [held.claim.trigger for held in rig.held()] == ["catch_up"] * 5


async def test_what_is_on_time_is_claimed_between_portions_of_an_outage(
    engine_pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan begins with what is oldest: the timer due now comes before the second portion."""
    monkeypatch.setattr(deciding, "RUNS_MAX", 4)
    async with rigged(engine_pool, receiver) as rig:
        for _ in range(3):
            await rig.job(schedule=EVERY, misfire={"policy": "all"}, overlap="allow")
        await rig.pass_time(int(40.5 * HOUR) - 10 * SECOND)
        fresh = await rig.job(schedule={"every": "10s"})
        await rig.pass_time(10 * SECOND)
        await rig.tick()
        claimed = await rig.parts.pool.fetch(
            "SELECT job_id FROM runs GROUP BY job_id ORDER BY min(xmin::text::bigint)"
        )
        assert len(claimed) == 4
        assert claimed[1]["job_id"] == fresh


async def test_an_outage_beside_which_nothing_is_on_time_is_taken_in_growing_portions(
    engine_pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "RUNS_MAX", 4)
    async with rigged(engine_pool, receiver) as rig:
        for _ in range(30):
            await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR + MINUTE)
        await rig.tick()
        portions = await rig.parts.pool.fetch(
            "SELECT count(*) FROM runs GROUP BY xmin ORDER BY min(xmin::text::bigint)"
        )
        assert [row["count"] for row in portions] == [4, 8, 16, 2]


async def test_a_crowd_that_grows_old_while_it_is_taken_is_taken_in_growing_portions_too(
    engine_pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "RUNS_MAX", 4)
    clock = PassingClock(MORNING_MS)
    async with rigged(engine_pool, receiver, clock=clock, batch=16) as rig:
        for _ in range(60):
            await rig.job(schedule=EVERY, created_ms=MORNING_MS)
        await rig.pass_time(MORNING_MS + HOUR + deciding.BEHIND_MS - 200 - clock.ms)
        await rig.tick()
        portions = await rig.parts.pool.fetch(
            "SELECT count(*) FROM runs GROUP BY xmin ORDER BY min(xmin::text::bigint)"
        )
        assert [row["count"] for row in portions] == [16, 4, 8, 16, 16]


async def test_an_hour_within_grace_beyond_the_cap_goes_on_in_the_next_pass(rig: Rig) -> None:
    job = await rig.job(
        schedule={"every": "1s"}, misfire={"policy": "skip", "grace": "1h"}, overlap="skip"
    )
    await rig.pass_time(2000 * SECOND)
    assert await rig.tick() <= 0
    await rig.send()
    assert await rig.tick() > 0
    rows = await rig.runs(job)
    assert sum(row["occurrences"] for row in rows) == 2000


async def test_within_the_grace_time_it_is_late_and_not_missed(rig: Rig) -> None:
    await rig.job(schedule=EVERY, misfire={"policy": "skip"})
    await rig.pass_time(HOUR + MINUTE)
    await rig.work()
    assert await rig.said() == [("succeeded", None)]
    assert (await rig.run())["lateness_ms"] == MINUTE


async def test_beyond_the_grace_time_it_is_missed(rig: Rig) -> None:
    await rig.job(schedule=EVERY, misfire={"policy": "skip"})
    await rig.pass_time(HOUR + MINUTE + 1)
    await rig.work()
    assert await rig.said() == [("skipped", "misfire")]


async def test_a_range_is_one_row_that_names_its_ends(rig: Rig) -> None:
    await _outage(rig, 40.5, policy="skip")
    row = await rig.run()
    assert epoch_ms(row["scheduled_for"]) == MORNING_MS + HOUR
    assert epoch_ms(row["scheduled_until"]) == MORNING_MS + 40 * HOUR
    assert row["finished_at"] == instant_at(rig.clock.ms)
    (told,) = rig.told(EventName.RUN_SKIPPED)
    assert (told["reason"], told["occurrences"]) == ("misfire", 40)


async def test_a_year_of_seconds_is_still_one_row(rig: Rig) -> None:
    await rig.job(schedule={"every": "1s"}, misfire={"policy": "skip"})
    await rig.pass_time(365 * 24 * HOUR)
    await rig.work()
    assert sum(row["occurrences"] for row in await rig.runs()) == 365 * 24 * 3600


@pytest.mark.parametrize("policy", ["once", "skip", "all"])
async def test_every_occurrence_of_an_outage_is_in_the_ledger_once(rig: Rig, policy: str) -> None:
    job = await rig.job(
        schedule={"every": "7s"},
        misfire={"policy": policy, "grace": "15s", "max_lateness": "5m"},
        overlap="allow",
    )
    for ms in (7 * SECOND, 11 * MINUTE, 3 * SECOND, 40 * SECOND, 400 * SECOND, 14 * SECOND):
        await rig.pass_time(ms)
        await rig.work()
    covered: list[int] = []
    for row in await rig.runs():
        first = epoch_ms(row["scheduled_for"])
        covered += [first + n * 7 * SECOND for n in range(row["occurrences"])]
    named = range(MORNING_MS + 7 * SECOND, rig.clock.ms + 1, 7 * SECOND)
    assert sorted(covered) == list(named)
    due = (await rig.timer(job))["scheduled_for"]
    assert epoch_ms(due) == covered[-1] + 7 * SECOND or epoch_ms(due) > rig.clock.ms


async def test_max_runs_completes_the_job_when_its_last_instant_has_come(rig: Rig) -> None:
    job = await rig.job(schedule={"every": "1h", "max_runs": 2})
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert await rig.state(job) == "active"
    await rig.pass_time(500)
    await rig.work()
    assert await rig.state(job) == "completed"
    assert (await rig.timer(job))["fire_at"] is None
    assert len(rig.told(EventName.JOB_COMPLETED)) == 1
    await rig.pass_time(5 * HOUR)
    await rig.work()
    assert await rig.said() == [("succeeded", None)] * 2


async def test_max_runs_also_bounds_what_is_caught_up(rig: Rig) -> None:
    job = await rig.job(
        schedule={"every": "1h", "max_runs": 3},
        misfire={"policy": "all", "max_lateness": "1d"},
        overlap="allow",
    )
    await rig.pass_time(10 * HOUR + 5 * MINUTE)
    await _caught_up(rig)
    assert await rig.said() == [("succeeded", None)] * 3 + [("skipped", "max_runs")]
    assert (await rig.runs())[3]["occurrences"] == 7
    assert await rig.state(job) == "completed"


async def test_a_job_with_one_instant_is_completed_after_it(rig: Rig) -> None:
    job = await rig.job(schedule={"at": "2026-01-05T08:30:00Z"})
    await rig.pass_time(30 * MINUTE)
    await rig.work()
    await rig.work()
    assert await rig.state(job) == "completed"
    assert await rig.said() == [("succeeded", None)]


async def test_completion_moves_the_revision_of_job_and_timer_together(
    rig: Rig, engine_pool: Pool
) -> None:
    job = await rig.job(schedule={"at": "2026-01-05T08:30:00Z"})
    await rig.pass_time(30 * MINUTE)
    await rig.work()
    await rig.work()
    revision = await engine_pool.fetchval("SELECT revision FROM jobs WHERE id = $1", job)
    assert revision == 2 == (await rig.timer(job))["revision"]


async def test_a_spread_job_is_sent_late_by_its_spread_and_keeps_its_nominal_time(
    rig: Rig,
) -> None:
    job = await rig.job(schedule={"every": "1h", "spread": "30m"})
    fire_ms = epoch_ms((await rig.timer(job))["fire_at"])
    assert MORNING_MS + HOUR <= fire_ms < MORNING_MS + HOUR + 30 * MINUTE
    await rig.pass_time(fire_ms - MORNING_MS - 1)
    await rig.work()
    assert rig.receiver.requests == []
    await rig.pass_time(1)
    await rig.send()
    (request,) = rig.receiver.requests
    assert request.headers["scheduler-scheduled-for"] == "2026-01-05T09:00:00Z"
    assert epoch_ms((await rig.timer(job))["fire_at"]) == fire_ms + HOUR
