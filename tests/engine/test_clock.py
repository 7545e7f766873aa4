"""The database's clock as a replica knows it, and the alarms and caches beside it."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import definition
from rig import Rig
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.engine.jobs import KNOWN_BYTES_MAX, KnownJobs
from scheduler_svc.store.pool import Pool, connection
from scheduler_svc.store.replicas import database_now
from scheduler_svc.store.timers import StoredJob

BASE = datetime(2026, 1, 5, 8, tzinfo=UTC)


def _observed(clock: DatabaseClock, *, out: float, back: float, offset: float) -> float:
    """Read the database's clock once, with these delays there and back."""
    sent = clock.monotonic()
    now = BASE + timedelta(seconds=sent + out + offset)
    return clock.observe(sent=sent, received=sent + out + back, now=now)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30))
def test_it_never_runs_ahead_of_the_database(delays: list[tuple[float, float]]) -> None:
    clock = DatabaseClock()
    for out, back in delays:
        _observed(clock, out=out, back=back, offset=0.0)
        before = clock.monotonic()
        told = clock.now_ms() / 1000
        assert told <= BASE.timestamp() + before + 0.5  # the time between the two readings
        assert told >= BASE.timestamp() + before - max(back for _, back in delays) - 0.01


def test_the_quickest_answer_gives_the_closest_bound() -> None:
    clock = DatabaseClock()
    _observed(clock, out=0.5, back=0.5, offset=0.0)
    slow = clock.now_ms()
    _observed(clock, out=0.001, back=0.001, offset=0.0)
    assert clock.now_ms() - slow >= 490


def test_a_database_clock_that_was_set_back_is_followed_and_told() -> None:
    clock = DatabaseClock()
    _observed(clock, out=0.001, back=0.001, offset=0.0)
    before = clock.now_ms()
    stepped = _observed(clock, out=0.001, back=0.001, offset=-90.0)
    assert -91 < stepped < -89
    assert before - clock.now_ms() > 89_000


def test_a_database_clock_that_was_set_forward_is_followed_and_told() -> None:
    clock = DatabaseClock()
    _observed(clock, out=0.001, back=0.001, offset=0.0)
    before = clock.now_ms()
    assert 89 < _observed(clock, out=0.001, back=0.001, offset=90.0) < 91
    assert clock.now_ms() - before > 89_000


def test_answers_that_are_slow_in_either_direction_are_no_step() -> None:
    clock = DatabaseClock()
    for out, back in ((0.001, 0.001), (3.0, 0.001), (0.001, 3.0), (2.0, 2.0), (0.001, 0.001)):
        assert _observed(clock, out=out, back=back, offset=0.0) == 0.0


def test_before_the_first_reading_there_is_no_time() -> None:
    clock = DatabaseClock()
    with pytest.raises(RuntimeError, match="not been read"):
        clock.now_ms()
    with pytest.raises(RuntimeError, match="not been read"):
        clock.seconds_until(0)


async def test_read_from_a_real_database_it_is_close_and_behind(pool: Pool) -> None:
    clock = DatabaseClock()
    async with connection(pool) as conn:
        for _ in range(5):
            sent = clock.monotonic()
            now = await database_now(conn)
            clock.observe(sent=sent, received=clock.monotonic(), now=now)
        told = clock.now_ms()
        truth = (await database_now(conn)).timestamp() * 1000
    assert told <= truth
    assert truth - told < 500


async def test_an_alarm_that_rang_before_the_wait_ends_it_at_once() -> None:
    alarm = Alarm()
    alarm.ring()
    async with asyncio.timeout(1):
        await alarm.wait(None)


async def test_an_alarm_wakes_who_waits_without_end() -> None:
    alarm = Alarm()
    waiting = asyncio.create_task(alarm.wait(None))
    await asyncio.sleep(0)
    alarm.ring()
    async with asyncio.timeout(1):
        await waiting


async def test_an_alarm_that_was_cleared_sleeps_for_its_time() -> None:
    alarm = Alarm()
    alarm.ring()
    alarm.clear()
    began = time.monotonic()
    await alarm.wait(0.02)
    assert time.monotonic() - began >= 0.015


def _stored(n: int, revision: int = 1) -> StoredJob:
    text = msgspec.json.encode(definition()).decode()
    return StoredJob(UUID(int=n), "default", revision, text, BASE)


def test_a_job_is_known_by_its_revision_alone() -> None:
    known = KnownJobs(version="0")
    known.learn(_stored(1))
    assert known.get(UUID(int=1), 1) is not None
    assert known.get(UUID(int=1), 2) is None
    known.learn(_stored(1, revision=2))
    assert known.get(UUID(int=1), 1) is None


def test_the_jobs_used_last_are_kept_and_no_more_than_weigh_so_much() -> None:
    other = KnownJobs(version="0")
    first = other.learn(_stored(1)).weight  # of which the parts are not known yet
    alike = other.learn(_stored(2)).weight
    assert alike < first
    known = KnownJobs(version="0", bytes_max=first + alike)
    known.learn(_stored(1))
    known.learn(_stored(2))
    assert known.get(UUID(int=1), 1) is not None
    known.learn(_stored(3))
    assert known.get(UUID(int=2), 1) is None
    assert known.get(UUID(int=1), 1) is not None


@pytest.mark.parametrize(
    "own", [{"every": "1h"}, {"cron": "H H * * *"}, {"cron": "0 9 * * *", "spread": "5m"}]
)
def test_a_schedule_that_each_job_has_of_its_own_weighs_more_though_its_text_is_shared(
    own: dict[str, str],
) -> None:
    known = KnownJobs(version="0")
    shared = {"every": "1h", "anchor": "2026-01-05T08:00:00Z"}
    weights = []
    for n, schedule in enumerate([shared, shared, own, own]):
        text = msgspec.json.encode({"schedule": schedule, "target": {"url": "http://a.example/"}})
        weights.append(
            known.learn(StoredJob(UUID(int=n), "default", 1, text.decode(), BASE)).weight
        )
    assert weights[3] > weights[1] + 1500


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "alike": lambda _: {"every": "1m", "anchor": "2026-01-05T08:00:00Z"},
    "an anchor of its own": lambda n: {
        "every": "1m",
        "anchor": f"2026-01-05T08:{n // 60:02}:{n % 60:02}Z",
    },
    "an expression of its own": lambda n: {"cron": f"{n % 60} {n // 60} 3 * *"},
    "its id's": lambda _: {"cron": "H H * * *"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_jobs_are_guessed_to_weigh_is_about_what_they_take(kind: str) -> None:
    def stored(n: int) -> StoredJob:
        target = {"url": "http://a.example/", "body": {"n": "x" * 192}}
        text = msgspec.json.encode({"schedule": KINDS[kind](n), "target": target}).decode()
        return StoredJob(UUID(int=n), "default", 1, text, BASE)

    known = KnownJobs(version="0")
    weight = [known.learn(stored(n)).weight for n in range(100)][-1]
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(100, 1000):
            learnt = known.learn(stored(n))
            _ = learnt.plan.timetable.next_after(0)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] / 900
    finally:
        tracemalloc.stop()
    assert weight / 1.5 < taken < weight * 1.5
    if "anchor" in kind:
        assert weight * 60_000 < KNOWN_BYTES_MAX


async def test_the_heartbeat_tells_what_the_replica_holds(rig: Rig) -> None:
    await rig.job(schedule={"every": "1s"})
    await rig.pass_time(500)
    await rig.tick()
    await rig.beat()
    row = await rig.parts.pool.fetchrow("SELECT running, slots FROM replicas")
    assert row is not None
    assert tuple(row) == (1, 100)
