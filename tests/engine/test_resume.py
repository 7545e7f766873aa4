"""A pause that ends by itself: one replica resumes the job, once, at the instant it was told."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from factories import MORNING_MS
from rig import HOUR, MINUTE, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.jobs import Pause

NOON_MS = MORNING_MS + 4 * HOUR


async def _paused(rig: Rig, until_ms: int, **changes: Any) -> UUID:
    """Store a job that is paused from now until an instant, as the API leaves it."""
    job = await rig.job(**({"schedule": {"every": "1h"}} | changes))
    now = instant_at(rig.clock.ms)
    pause = Pause(reason="x", since=now, until=instant_at(until_ms), recorded_until=now)
    await rig.parts.pool.execute(
        "UPDATE jobs SET state = 'paused', pause = $1", msgspec.json.encode(pause).decode()
    )
    await rig.parts.pool.execute(
        "UPDATE job_timers SET scheduled_for = NULL, fire_at = $1", instant_at(until_ms)
    )
    return job


async def test_it_resumes_at_its_instant_and_not_before(rig: Rig) -> None:
    job = await _paused(rig, NOON_MS - MINUTE)
    await rig.pass_time(4 * HOUR - MINUTE - 1)
    assert await rig.tick() == pytest.approx(0.001)
    assert await rig.state(job) == "paused"
    await rig.pass_time(1)
    await rig.tick()
    assert await rig.state(job) == "active"
    assert epoch_ms((await rig.timer(job))["scheduled_for"]) == NOON_MS
    (row,) = await rig.runs(job)
    assert (row["status"], row["reason"], row["occurrences"]) == ("skipped", "paused", 3)
    assert [told["job_id"] for told in rig.told(EventName.JOB_RESUMED)] == [job]
    stored = await rig.parts.pool.fetchrow("SELECT pause, revision FROM jobs")
    assert stored is not None
    assert tuple(stored) == (None, (await rig.timer(job))["revision"]) == (None, 2)


async def test_an_occurrence_at_the_very_end_of_the_pause_is_sent_on_time(rig: Rig) -> None:
    job = await _paused(rig, NOON_MS)
    await rig.pass_time(4 * HOUR)
    assert await rig.tick() <= 0
    await rig.work()
    assert await rig.said(job) == [("skipped", "paused"), ("succeeded", None)]
    assert [row["lateness_ms"] for row in await rig.runs(job)] == [None, 0]


async def test_one_of_two_replicas_resumes_it(rig: Rig, other: Rig) -> None:
    job = await _paused(rig, NOON_MS - MINUTE)
    await rig.pass_time(4 * HOUR)
    for replica in (rig, other):
        await replica.tick()
    told = [*rig.told(EventName.JOB_RESUMED), *other.told(EventName.JOB_RESUMED)]
    assert len(told) == 1
    assert [row["occurrences"] for row in await rig.runs(job) if row["reason"]] == [3]


async def test_where_nobody_was_there_at_its_end_the_misfire_policy_takes_over(rig: Rig) -> None:
    job = await _paused(rig, NOON_MS, misfire={"policy": "all"}, overlap="allow")
    await rig.pass_time(6 * HOUR + 30 * MINUTE)
    for _ in range(3):
        await rig.work()
        await rig.pass_time(1000)
    assert await rig.said(job) == [("skipped", "paused")] + [("succeeded", None)] * 3


async def test_a_job_without_an_occurrence_left_is_completed(rig: Rig) -> None:
    job = await _paused(rig, NOON_MS, schedule={"at": "2026-01-05T09:00:00Z"})
    await rig.pass_time(4 * HOUR)
    await rig.tick()
    assert await rig.state(job) == "completed"
    assert await rig.said(job) == [("skipped", "paused")]


async def test_what_waits_for_its_spread_at_the_end_is_sent(rig: Rig) -> None:
    schedule = {"cron": "0 * * * *", "spread": "59m"}
    job = await _paused(rig, NOON_MS + 1, schedule=schedule)
    await rig.pass_time(4 * HOUR + 1)
    await rig.tick()
    assert epoch_ms((await rig.timer(job))["scheduled_for"]) == NOON_MS


async def test_a_job_with_alerts_is_looked_at_again_from_its_resumption(rig: Rig) -> None:
    alerts = {"url": "http://127.0.0.1:9/", "late_after": "5m"}
    job = await _paused(rig, NOON_MS - MINUTE, alerts=alerts)
    await rig.pass_time(4 * HOUR - MINUTE)
    await rig.tick()
    watch_at = await rig.parts.pool.fetchval(
        "SELECT watch_at FROM job_incidents WHERE job_id = $1", job
    )
    assert watch_at == instant_at(NOON_MS + 5 * MINUTE)
