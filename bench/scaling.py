"""What replicas and a database can fire: measured points, a model of them, and its error.

    python bench/scaling.py              the model and the simulation beside the kept points
    python bench/scaling.py --measure    measure here first, some minutes, and keep the points
    python bench/scaling.py --cores 16 --database-cores 8 --replicas 6    what it says of yours

The points are kept in bench/scaling.json, with the machine; measured again, the less disturbed of
two stays. The costs are fitted on one replica; all else is predicted (`docs/scaling.md`). The
simulation is of discrete events and shares no code with the service.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver, used
from bench._model import (
    BUSY,
    Costs,
    capacity,
    commits_a_fire,
    fitted,
    per_fire,
    simulate_burst,
)
from bench.burst import COMMITS, WARM, burst

from fleet import Replica, database, replica
from scheduler_svc.store.pool import Connection

KEPT = Path(__file__).with_suffix(".json")
REPLICAS = (1, 2, 3)
BURSTS = (1_000, 10_000)
RATES = (100, 400)
PERIOD_SECONDS = 10
STEADY_SECONDS = 6.0
IDLE_SECONDS = 5.0
SIZES = """
    SELECT
        (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c
            WHERE c.relname IN ('jobs', 'job_timers')) / (SELECT count(*) FROM jobs)::float8 AS job,
        (SELECT sum(pg_total_relation_size(i.inhrelid)) FROM pg_inherits AS i
            WHERE i.inhparent = 'runs'::regclass) / (SELECT count(*) FROM runs)::float8 AS run
"""
LATENESS = """
    SELECT count(*) AS fires,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS p99
    FROM runs
    WHERE scheduled_for BETWEEN $1 AND $1 + $2::float8 * interval '1 second'
        AND status = 'succeeded'
"""
EVENLY = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, date_trunc('milliseconds', clock_timestamp()
            + (1.5 + $2::float8 * n / $1::integer) * interval '1 second') AS at
        FROM generate_series(0, $1::integer - 1) AS n
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, 'default', NULL, '', '{}', ($3::jsonb || jsonb_build_object('schedule',
            jsonb_build_object('every', '10s',
                'anchor', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))::json,
            'active', NULL, 1, at - interval '10 seconds', now()
        FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""


@dataclass(frozen=True)
class Point:
    """One measurement: processor time in microseconds a fire, WAL in bytes a fire."""

    kind: str
    replicas: int
    size: int
    """Jobs of the burst, or fires a second."""
    per_second: float
    p50_ms: float
    p99_ms: float
    ours_us: float
    server_us: float
    wal_bytes: float
    transactions: float
    """Commits a fire."""


async def steady(
    ground: Ground, conn: Connection, fleet: list[Replica], url: str, rate: int
) -> Point:
    """Fire at a rate, evenly, by jobs that recur, and look at a while of it."""
    await conn.execute("DELETE FROM jobs")
    await conn.execute("VACUUM ANALYZE jobs, job_timers")
    made = json.dumps({"target": {"url": url, "body": {"n": "x" * 192}}})
    await conn.execute(EVENLY, rate * PERIOD_SECONDS, PERIOD_SECONDS, made)
    await conn.execute("SELECT pg_notify('scheduler', 'wake 0')")
    await asyncio.sleep(PERIOD_SECONDS)  # each job has fired once: what is new to a replica is over
    begun = await conn.fetchval("SELECT clock_timestamp()")
    before = await _reading(ground, conn, fleet)
    await asyncio.sleep(STEADY_SECONDS)
    after = await _reading(ground, conn, fleet)
    row = await conn.fetchrow(LATENESS, begun, STEADY_SECONDS)
    assert row is not None
    spent = [(late - early) / row["fires"] for early, late in zip(before, after, strict=True)]
    return Point("steady", len(fleet), rate, row["fires"] / STEADY_SECONDS, *row[1:], *spent)


async def _reading(
    ground: Ground, conn: Connection, fleet: list[Replica]
) -> tuple[float, float, float, float]:
    """Read what was used so far: ours and the server's microseconds, bytes of log, commits."""
    ours = sum(used(each.program.pid) for each in fleet)
    wal = await conn.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'")
    commits = await conn.fetchval(COMMITS)
    return ours * 1e6, ground.cpu_seconds() * 1e6, float(wal), float(commits)


async def idle(ground: Ground, conn: Connection, fleet: list[Replica]) -> Point:
    """Do nothing for a while: microseconds and commits are a second here, not a fire."""
    await conn.execute("DELETE FROM jobs")
    before = await _reading(ground, conn, fleet)
    await asyncio.sleep(IDLE_SECONDS)
    after = await _reading(ground, conn, fleet)
    spent = [(late - early) / IDLE_SECONDS for early, late in zip(before, after, strict=True)]
    return Point("idle", len(fleet), 0, 0.0, 0.0, 0.0, *spent)


async def fleet_points(
    ground: Ground, url: str, replicas: int, *, rates: bool
) -> tuple[list[Point], Any]:
    """Measure bursts with so many replicas, and rates where they are wanted."""
    points: list[Point] = []
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        fleet = [await stack.enter_async_context(replica(dsn)) for _ in range(replicas)]
        await burst(ground, conn, fleet, url, WARM)
        for jobs in BURSTS:
            best = max(
                [await burst(ground, conn, fleet, url, jobs) for _ in range(2)],
                key=lambda one: one.calls_per_second,
            )
            points.append(
                Point(
                    "burst",
                    replicas,
                    jobs,
                    best.calls_per_second,
                    best.p50_ms,
                    best.p99_ms,
                    best.ours_us,
                    best.server_us,
                    best.wal_bytes,
                    best.transactions / jobs,
                )
            )
            print(points[-1], flush=True)
        await conn.execute("VACUUM ANALYZE jobs, job_timers, runs")
        sizes = dict(await conn.fetchrow(SIZES) or {})
        for rate in RATES if rates else ():
            points.append(await steady(ground, conn, fleet, url, rate))
            print(points[-1], flush=True)
        if rates:
            points.append(await idle(ground, conn, fleet))
            print(points[-1], flush=True)
    return points, sizes


def calmest(points: list[Point]) -> Point:
    """Return the point that other work of the machine disturbed least."""
    if points[0].kind == "burst":
        return max(points, key=lambda one: one.per_second)
    return min(points, key=lambda one: one.ours_us + one.server_us)


def _same(one: Point, other: Point) -> bool:
    return (one.kind, one.replicas, one.size) == (other.kind, other.replicas, other.size)


def measure(*, rates: bool) -> None:
    """Measure, and keep the points with the machine they are of."""
    points: list[Point] = []
    sizes: Any = {}
    with durable() as ground, receiver() as url:
        for replicas in REPLICAS:
            found, sizes = asyncio.run(fleet_points(ground, url, replicas, rates=rates))
            points += found
    before = (
        [Point(**one) for one in json.loads(KEPT.read_text())["points"]] if KEPT.exists() else []
    )
    new = [calmest([one, *[old for old in before if _same(old, one)]]) for one in points]
    points = new + [old for old in before if not any(_same(old, one) for one in new)]
    points.sort(key=lambda one: (one.kind, one.replicas, one.size))
    kept = {
        "at": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "bytes": {name: round(float(size)) for name, size in sizes.items()},
        "points": [asdict(point) for point in points],
    }
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")


def shown() -> None:
    """Print what the model and the simulation say beside what was measured, and how far off."""
    kept = json.loads(KEPT.read_text())
    points = [Point(**one) for one in kept["points"]]
    costs = costs_of(points)
    print(f"measured {kept['at']}, {kept['cores']} cores, load {kept['load']}")
    print(f"a fire: {costs.ours:.0f} us ours, {costs.server:.0f} us of the database;", end=" ")
    print(f"a commit: {costs.ours_commit:.0f} and {costs.server_commit:.0f} us")
    print(f"{kept['bytes']['job']:,} B a job, {kept['bytes']['run']:,} B a run")
    errors = []
    for one in points:
        match one.kind:
            case "burst":
                said = simulate_burst(
                    costs, jobs=one.size, replicas=one.replicas, cores=kept["cores"]
                )
                what = f"burst of {one.size:6,}, {one.replicas} replicas: calls/s"
                errors.append(_beside(what, one.per_second, said[0]))
                _beside("    lateness p99, ms", one.p99_ms, said[2])
            case "steady":
                commits = commits_a_fire(costs, one.size, one.replicas)
                ours, server = per_fire(costs, commits)
                what = f"{one.size} a second, {one.replicas} replicas: us a fire"
                errors.append(_beside(what, one.ours_us + one.server_us, ours + server))
                _beside("    commits a fire", one.transactions, commits)
            case _:
                pass
    print(f"median error {median(errors):.0%}, greatest {max(errors):.0%}")


def costs_of(points: list[Point]) -> Costs:
    """Fit the costs on one replica: its largest burst, its slowest rate, its quickest."""
    alone = [asdict(one) for one in points if one.replicas == 1]
    bursts = [one for one in alone if one["kind"] == "burst"]
    rates = [one for one in alone if one["kind"] == "steady"]
    return fitted(max(bursts, key=_size), min(rates, key=_size), max(rates, key=_size))


def _size(point: Mapping[str, float]) -> int:
    return int(point["size"])


def _beside(what: str, measured: float, said: float) -> float:
    error = abs(said - measured) / max(measured, 1e-9)
    print(f"{what:48} measured {measured:10,.1f}   model {said:10,.1f}   off by {error:5.0%}")
    return error


def asked_for(asked: argparse.Namespace) -> None:
    """Print what the model says of other machines."""
    costs = costs_of([Point(**one) for one in json.loads(KEPT.read_text())["points"]])
    rate, bound = capacity(
        costs, replicas=asked.replicas, cores=asked.cores, database_cores=asked.database_cores
    )
    print(f"{rate:,.0f} fires/s sustained at {BUSY:.0%} busy; what bounds it: {bound}")
    for jobs in BURSTS:
        said = simulate_burst(
            costs,
            jobs=jobs,
            replicas=asked.replicas,
            cores=asked.cores,
            database_cores=asked.database_cores,
        )
        print(f"{jobs:6,} at one instant: {said[0]:,.0f} calls/s, p99 {said[2]:,.0f} ms late")


def main() -> None:
    """Measure, compare, or answer for other machines."""
    given = argparse.ArgumentParser(description="what replicas and a database can fire")
    given.add_argument("--measure", action="store_true")
    given.add_argument("--bursts", action="store_true", help="measure only those")
    given.add_argument("--cores", type=int)
    given.add_argument("--database-cores", type=int, default=4)
    given.add_argument("--replicas", type=int, default=2)
    asked = given.parse_args()
    if asked.measure or asked.bursts:
        measure(rates=asked.measure)
    if asked.cores:
        asked_for(asked)
    else:
        shown()


if __name__ == "__main__":
    main()
