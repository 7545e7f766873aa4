"""Weeks of a real store under a hand-held clock; then the ledger says what became of each instant.

The judge reads rows of `runs` and the oracle's list of occurrences, no more. The longer run, with
years and many jobs, is that of the deciding code alone (`domain/test_simulation.py`).
SIMULATION_SEED repeats a run, SIMULATION_DAYS and SIMULATION_STORED make it longer.
"""

import json
import os
from bisect import bisect_left, bisect_right
from datetime import datetime
from random import Random

import pytest
from asyncpg import Record

from domain.oracle import occurrences
from domain.simulation import DAY, HOUR, NEVER, SECOND, utc
from engine.world import Watched, World, a_world
from receiver import Receiver
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store.pool import Pool

SEED = int(os.environ.get("SIMULATION_SEED", "0")) or Random().randrange(1, 10**9)
DAYS = float(os.environ.get("SIMULATION_DAYS", "40"))
EACH = int(os.environ.get("SIMULATION_STORED", "4"))
# From before the change of clocks in New York to after those of Lord Howe and Chatham.
BEGIN = round(datetime.fromisoformat("2026-03-05T00:00:00+00:00").timestamp() * 1000)
END = BEGIN + round(DAYS * DAY)
SKIPPED = {"paused", "overlap", "misfire", "too_late", "merged"}
FAILED = {"attempts", "next_occurrence", "deadline"}
CANCELLED = {"overlap", "cancelled"}  # the latter where it was under way when a newer came


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_weeks_of_outages_kills_pauses_edits_and_retries_forget_nothing(
    engine_pool: Pool, dsn: str, receiver: Receiver
) -> None:
    async with a_world(engine_pool, dsn, receiver, seed=SEED, begin=BEGIN, end=END) as world:
        for kind in ("fixed", "wild", "every", "at"):
            for number in range(EACH):
                await world.add(kind, number)
        outages = len(world.outages)
        await live(world)
        counted = [await judge(world, job) for job in world.jobs]
        rows = await engine_pool.fetchval("SELECT count(*) FROM runs")
        calls = len(receiver.requests)
    print(
        f"seed {SEED}: {len(counted)} jobs, {sum(counted)} occurrences, {rows} rows,"
        f" {calls} calls, {world.steps} steps, {outages} outages:"
        " 0 forgotten, 0 unexplained"
    )
    assert sum(counted) > len(counted)
    assert calls > len(counted)


async def live(world: World) -> None:
    """Let the weeks pass, with a hand that meddles; then let all that waits come to its end."""
    at = BEGIN
    while at < END:
        at = min(END, at + world.draw.choice([SECOND, HOUR, world.draw.randrange(3 * DAY)]))
        while await world.step(at):
            pass
        # Half of the time just when something of the job is held ahead of its instant.
        held = await world.until_held(END) if world.draw.random() < 0.5 else None
        at = max(at, world.clock.ms)
        await world.meddle(held or world.draw.choice(world.jobs))
    for job in world.jobs:
        (await world.http.post(f"/jobs/{job.name}/resume", json={})).raise_for_status()
    while await world.step(END):
        pass
    for _ in range(2000):
        if not await world.pool.fetchval(UNFINISHED, utc(END)):
            return
        await world.step(NEVER)
    raise AssertionError("what is of the past does not end")


UNFINISHED = """
    SELECT count(*) FROM runs WHERE status IN ('due', 'running') AND scheduled_for <= $1
"""


async def judge(world: World, job: Watched) -> int:
    """Hold the ledger against the oracle; return how many occurrences there were."""
    expected: list[int] = []
    for epoch in job.epochs:
        high = utc(min(epoch.until_ms, END))
        expected += occurrences(epoch.schedule, utc(epoch.from_ms), high)
    rows = await world.pool.fetch(LEDGER, job.name)
    covered = []
    for row in rows:
        if epoch_ms(row["scheduled_for"]) > END:
            continue
        explained(world, job, row)
        covered += of_row(row, expected)
    told = f"{job.name}: {job.epochs} {job.rule} (seed {SEED})"
    if sent_by := spread_of(job):  # what is sent beyond the end may not be claimed yet
        last = max(covered, default=0)
        expected = [at for at in expected if at <= last or at <= END - sent_by]
    assert sorted(covered) == expected, told
    return len(expected)


LEDGER = """
    SELECT r.* FROM runs AS r JOIN jobs AS j ON j.id = r.job_id
    WHERE j.name = $1 AND r.trigger IN ('schedule', 'catch_up') ORDER BY r.scheduled_for
"""


def of_row(row: Record, expected: list[int]) -> list[int]:
    """Return the occurrences that a row stands for, by the oracle: its count must be right."""
    first = epoch_ms(row["scheduled_for"])
    if row["scheduled_until"] is None:
        assert row["occurrences"] == 1
        return [first]
    last = epoch_ms(row["scheduled_until"])
    named = expected[bisect_left(expected, first) : bisect_right(expected, last)]
    assert (len(named), named[0], named[-1]) == (row["occurrences"], first, last)
    return named


def explained(world: World, job: Watched, row: Record) -> None:
    """Every row has ended, at its time or late for a reason, or names the rule that stopped it."""
    match row["status"]:
        case "succeeded":
            assert row["reason"] is None
        case "failed":
            assert row["reason"] in FAILED
        case "skipped":
            assert row["reason"] in SKIPPED
        case "cancelled":
            assert row["reason"] in CANCELLED
        case other:
            raise AssertionError(f"{other} is no end")
    first = epoch_ms(row["scheduled_for"])
    patience = milliseconds(job.rule["misfire"]["grace"]) + spread_of(job)
    if row["trigger"] == "catch_up" or row["reason"] in {"misfire", "too_late"}:
        assert absent(world, job, first, first + patience), f"{row} (seed {SEED})"
    if row["started_at"] is None:
        return
    assert row["started_at"] >= row["scheduled_for"]
    assert row["lateness_ms"] >= 0
    waited = row["lost_count"] or job.rule["overlap"] == "queue" or was_spared(row, patience)
    if row["trigger"] == "schedule" and not waited:
        assert row["lateness_ms"] <= patience, f"{row} (seed {SEED})"


def was_spared(row: Record, patience: int) -> bool:
    """Tell whether a breaker held a run back that had been claimed in time, before it was tried."""
    told = json.loads(row["deferral"] or "null")
    if told is None or told["reason"] != "breaker":
        return False
    since = datetime.fromisoformat(told["since"])
    in_time = epoch_ms(since) <= epoch_ms(row["scheduled_for"]) + patience
    return in_time and since < row["started_at"]


def spread_of(job: Watched) -> int:
    """Return the longest that a job's sending may lie behind its instant, in milliseconds."""
    return max(milliseconds(epoch.schedule.get("spread", "0s")) for epoch in job.epochs)


def absent(world: World, job: Watched, low: int, high: int) -> bool:
    """Tell whether nobody was there, or the job was paused, at some time of a stretch."""
    spans = [*world.outages, *job.pauses]
    return any(begin <= high and low <= end for begin, end in spans)
