"""After an outage: what was missed is sent or written down, each occurrence exactly once."""

import pytest

from factories import MORNING_MS
from rig import HOUR, MINUTE, SECOND, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
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
    said = await _outage(rig, 40.5, policy="all", max_lateness="4h")
    assert said == [("skipped", "too_late", 36)] + [("succeeded", "catch_up", 1)] * 4
    sent = [one.headers["scheduler-scheduled-for"] for one in rig.receiver.requests]
    assert len(sent) == 4


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
    await rig.work()
    await rig.work()
    assert await rig.said() == [("succeeded", None)] * 3
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
