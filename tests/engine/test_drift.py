"""The drift guard: nothing moves because of a new version without being counted and told."""

from uuid import UUID

import pytest

from factories import MORNING_MS
from rig import HOUR, MINUTE, Rig
from scheduler_svc.domain.drift import DriftRefused, versions
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.engine import drift

OLD = "croniter 1.0.0, tzdata 1999z, older/1"
NINE = {"cron": "0 9 * * *", "timezone": "America/Sao_Paulo"}
NINE_MS = MORNING_MS + 4 * HOUR  # nine o'clock is 12:00 UTC there, summer time or not
DAY = 24 * HOUR


async def expected_by_others(rig: Rig, job: UUID, *, shift: int = 0, age: int = 0) -> None:
    """Store what a replica with other versions would have: the instants as its zone had them."""
    instants = [instant_at(NINE_MS + n * DAY + shift - age) for n in range(3)]
    await rig.parts.pool.execute(
        "INSERT INTO job_expectations VALUES ($1, $2, $3, NULL)", job, OLD, instants
    )
    await rig.parts.pool.execute(
        "UPDATE job_timers SET scheduled_for = $2, fire_at = $2 WHERE job_id = $1", job, instants[0]
    )


async def kept(rig: Rig, job: UUID) -> tuple[str, list[int]]:
    row = await rig.parts.pool.fetchrow("SELECT * FROM job_expectations WHERE job_id = $1", job)
    assert row is not None
    return row["versions"], [epoch_ms(at) for at in row["instants"]]


async def test_what_no_version_moves_is_adopted_without_a_word(rig: Rig) -> None:
    job = await rig.job(schedule=NINE)
    await expected_by_others(rig, job)
    assert await drift.guard(rig.parts, most=0, accept=False) == 0
    assert rig.told(EventName.JOB_MOVED) == []
    assert await kept(rig, job) == (versions(), [NINE_MS + n * DAY for n in range(3)])


async def test_a_job_that_moves_is_told_and_fires_when_it_is_named_now(rig: Rig) -> None:
    job = await rig.job(schedule=NINE)
    still = await rig.job(schedule=NINE)
    await expected_by_others(rig, job, shift=-HOUR)
    await expected_by_others(rig, still)
    assert await drift.guard(rig.parts, most=1, accept=False) == 1
    assert rig.told(EventName.JOB_MOVED) == [
        {"job_id": job, "before": "2026-01-05T11:00:00Z", "after": "2026-01-05T12:00:00Z"}
    ]
    for one in (job, still):
        assert epoch_ms((await rig.timer(one))["fire_at"]) == NINE_MS
        assert (await kept(rig, one))[0] == versions()


async def test_beyond_the_limit_it_is_refused_and_nothing_is_touched(rig: Rig) -> None:
    jobs = [await rig.job(schedule=NINE) for _ in range(3)]
    for job in jobs:
        await expected_by_others(rig, job, shift=-HOUR)
    with pytest.raises(DriftRefused) as refused:
        await drift.guard(rig.parts, most=2, accept=False)
    for word in ("3 job(s) would move", OLD, versions(), "--accept-drift", "2026-01-05T11:00:00Z"):
        assert word in str(refused.value)
    for job in jobs:
        assert (await kept(rig, job))[0] == OLD
        assert epoch_ms((await rig.timer(job))["fire_at"]) == NINE_MS - HOUR
    assert await drift.guard(rig.parts, most=2, accept=True) == 3
    assert await drift.guard(rig.parts, most=0, accept=False) == 0


async def test_what_is_due_already_stays_due(rig: Rig) -> None:
    job = await rig.job(schedule=NINE)
    await expected_by_others(rig, job, shift=-HOUR)
    rig.clock.move(3 * HOUR + MINUTE)
    assert await drift.guard(rig.parts, most=1, accept=False) == 1
    assert epoch_ms((await rig.timer(job))["fire_at"]) == NINE_MS - HOUR


async def test_instants_that_all_have_passed_are_judged_where_they_were(rig: Rig) -> None:
    same, other = await rig.job(schedule=NINE), await rig.job(schedule=NINE)
    await expected_by_others(rig, same, age=10 * DAY)
    await expected_by_others(rig, other, age=10 * DAY, shift=-HOUR)
    assert await drift.guard(rig.parts, most=1, accept=False) == 1


async def test_a_job_of_before_the_guard_is_kept_too(rig: Rig) -> None:
    job = await rig.job(schedule=NINE)
    await drift.fill(rig.parts)
    assert await kept(rig, job) == (versions(), [NINE_MS + n * DAY for n in range(3)])


async def test_instants_are_renewed_when_they_have_passed_and_not_before(rig: Rig) -> None:
    job = await rig.job(schedule=NINE)
    await rig.job(schedule={"every": "1m"})
    await drift.fill(rig.parts)
    assert await drift.refresh(rig.parts) == 0
    rig.clock.move(3 * DAY)
    assert await drift.refresh(rig.parts) == 1
    assert (await kept(rig, job))[1][0] == NINE_MS + 3 * DAY
    assert await drift.refresh(rig.parts) == 0


async def test_a_schedule_that_was_refused_meanwhile_does_not_stop_the_start(rig: Rig) -> None:
    job = await rig.job(schedule=NINE)
    await expected_by_others(rig, job)
    await rig.parts.pool.execute("""UPDATE jobs SET definition = '{"schedule": {}}'""")
    assert await drift.guard(rig.parts, most=0, accept=False) == 0
