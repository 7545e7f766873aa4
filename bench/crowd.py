"""One namespace with very many jobs due at an instant: how late the jobs of another are.

    python bench/crowd.py [--jobs N] [--on-time N] [--over SECONDS] [--keys N] [--dead]
                          [--backlog] [--replicas N]

The jobs of the namespace `crowd` are due at one instant, or are as many triggers with `--backlog`;
those of `other` from that instant on. First `other` is measured alone, then beside the crowd. The
crowd's calls are of so many keys, and with `--dead` they never come back. The figures are the
ledger's.
"""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver
from bench.dead_target import dead_host

from fleet import database, replica
from scheduler_svc.store.pool import Connection

BEGIN_SECONDS = 8
STORED_A_SECOND = 2500
"""So slowly on a busy machine: the replicas are up when the crowd is due."""
DUE = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, n, date_trunc('milliseconds',
            $3::timestamptz + $4::float8 * n / $2::integer * interval '1 second') AS at
        FROM generate_series(0, $2::integer - 1) AS n
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, $1, NULL, '', '{}', json_build_object(
            'target', $5::jsonb || jsonb_build_object('concurrency_key', 'k' || n % $6::integer),
            'retry', json_build_object('max_attempts', 1),
            'schedule', json_build_object('at', to_char(at AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))),
            'active', NULL, 1, now(), now()
        FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""
TRIGGERED = """
    WITH moved AS (
        UPDATE job_timers SET scheduled_for = NULL, fire_at = NULL
        WHERE job_id IN (SELECT id FROM jobs WHERE namespace = $1)
    )
    INSERT INTO runs (
        id, scheduled_for, job_id, namespace, trigger, status, priority, next_attempt_at
    )
    SELECT gen_random_uuid(), $2, id, namespace, 'manual', 'due', 0, $2
    FROM jobs WHERE namespace = $1
"""
FIGURES = """
    SELECT count(*) AS runs,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS p99,
        max(lateness_ms) AS most
    FROM runs WHERE namespace = 'other' AND status = 'succeeded'
"""
ENDED = "SELECT count(*) FROM runs WHERE namespace = $1 AND status NOT IN ('due', 'running')"


async def measure(ground: Ground, asked: argparse.Namespace, *, crowd: int, url: str) -> int:
    """Run one round, print its figures, return the greatest lateness of the others."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        ledger = await stack.enter_async_context(database(dsn))
        begin = "SELECT date_trunc('second', clock_timestamp()) + $1::integer * interval '1 s'"
        begins = BEGIN_SECONDS + crowd // STORED_A_SECOND
        at = await ledger.fetchval(begin, begins)
        if crowd:
            called = stack.enter_context(dead_host()) if asked.dead else url
            await _store(ledger, "crowd", crowd, at, 0.0, url=called, keys=asked.keys)
        if crowd and asked.backlog:
            await ledger.execute(TRIGGERED, "crowd", at)
        await _store(ledger, "other", asked.on_time, at, asked.over, url=url, keys=1)
        await ledger.execute("ANALYZE")
        for _ in range(asked.replicas):
            await stack.enter_async_context(replica(dsn))
        async with asyncio.timeout(begins + asked.over + 120):
            # Rows that other processes write: there is no event to wait for.
            while await ledger.fetchval(ENDED, "other") < asked.on_time:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        found = await ledger.fetchrow(FIGURES)
        crowded = await ledger.fetchval(ENDED, "crowd")
    assert found is not None
    print(
        f"{crowd:7,} in a crowd ({crowded:,} ended by then), {found['runs']} others:"
        f" p50 {found['p50']} p99 {found['p99']} max {found['most']} ms",
        flush=True,
    )
    return int(found["most"])


async def _store(
    ledger: Connection,
    namespace: str,
    count: int,
    at: object,
    over: float,
    *,
    url: str,
    keys: int,
) -> None:
    target = json.dumps({"url": url})
    await ledger.execute(DUE, namespace, count, at, over, target, keys)


def main() -> None:
    """Measure the others alone, then beside the crowd."""
    given = argparse.ArgumentParser(description="lateness beside another namespace's crowd")
    given.add_argument("--jobs", type=int, default=50_000)
    given.add_argument("--on-time", type=int, default=200)
    given.add_argument("--over", type=float, default=8.0)
    given.add_argument("--keys", type=int, default=1)
    given.add_argument("--dead", action="store_true")
    given.add_argument("--backlog", action="store_true")
    given.add_argument("--replicas", type=int, default=1)
    asked = given.parse_args()
    with durable() as ground, receiver() as url:
        alone = asyncio.run(measure(ground, asked, crowd=0, url=url))
        beside = asyncio.run(measure(ground, asked, crowd=asked.jobs, url=url))
    print(f"the latest of the others: alone {alone} ms, beside the crowd {beside} ms")


if __name__ == "__main__":
    main()
