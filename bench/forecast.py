"""How long a forecast over 100,000 jobs takes, and how long it keeps the loop from others.

    python bench/forecast.py [--jobs N] [--days N]

Prints the time of each mix of schedules, and the longest stall of the event loop meanwhile.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Callable
from time import perf_counter
from uuid import UUID

import asyncpg
from httpx2 import ASGITransport, AsyncClient

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Check, Checks, Deps, EngineCheck, Readiness
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.job_create import JobCreates
from scheduler_svc.store.job_reads import JobReads
from scheduler_svc.store.pool import open_pool

NOW_MS = 1_767_600_000_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
EVERY = ("30s", "1m", "5m", "15m", "1h", "90m", "1d")


def _mixed(n: int, chance: random.Random) -> str:
    zone = chance.choice(ZONES)
    kind = n % 5
    if kind == 0:
        return f'{{"every": "{chance.choice(EVERY)}"}}'
    minute, hour, day = chance.randrange(0, 60, 5), chance.randrange(24), chance.randrange(7)
    cron = (
        f"{minute} {hour} * * *",
        "H * * * *",
        f"*/{chance.choice((5, 10, 15, 20, 30))} * * * *",
        f"{minute} {hour} * * {day}",
    )[kind - 1]
    return f'{{"cron": "{cron}", "timezone": "{zone}"}}'


MIXES: dict[str, Callable[[int, random.Random], str]] = {
    "herd (0 9 * * *)": lambda _n, _chance: '{"cron": "0 9 * * *"}',
    "spread (H 9 * * *)": lambda _n, _chance: '{"cron": "H 9 * * *"}',
    "mixed": _mixed,
    "every, but at night": lambda _n, chance: (
        f'{{"every": "{chance.choice(EVERY)}", "exclude": ["* 0-6 * * *"]}}'
    ),
    "every 1s, cut up": lambda _n, _chance: '{"every": "1s", "exclude": ["*/2 * * * * *"]}',
    "every 1m, spread": lambda _n, _chance: '{"every": "1m", "spread": "30s"}',
}


async def _ready() -> Readiness:
    checks = Checks(
        database=Check(status="ok"),
        schema=Check(status="ok"),
        engine=EngineCheck(status="ok", last_tick_age_ms=0),
    )
    return Readiness(status="ok", checks=checks, versions={})


async def _seed(dsn: str, jobs: int, make: Callable[[int, random.Random], str]) -> None:
    chance = random.Random(1)
    conn = await asyncpg.connect(dsn)
    await conn.execute("TRUNCATE jobs CASCADE")
    created = instant_at(NOW_MS - 86_400_000)
    rows = []
    for n in range(jobs):
        url = f'"http://host-{n % 200}.example.com/"'
        definition = f'{{"schedule": {make(n, chance)}, "target": {{"url": {url}}}}}'
        job_id = UUID(int=chance.getrandbits(128))
        made = instant_at(NOW_MS - chance.randrange(1, 86_400_000))
        rows.append((job_id, "default", "", "{}", definition, "active", 1, made, created))
    names = "id namespace description labels definition state revision created_at updated_at"
    await conn.copy_records_to_table("jobs", records=rows, columns=names.split())
    await conn.execute(
        "INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)"
        " SELECT id, $1, $1, 1 FROM jobs",
        instant_at(NOW_MS),
    )
    await conn.execute("ANALYZE")
    await conn.close()


async def _stalls(worst: list[float]) -> None:
    """Note how late the loop wakes us each millisecond."""
    while True:
        asleep = perf_counter()
        await asyncio.sleep(0.001)
        worst.append(perf_counter() - asleep - 0.001)


async def _measure(dsn: str, jobs: int, days: int) -> None:
    pool = await open_pool(dsn, application_name="bench")
    deps = Deps(
        pool=pool,
        reads=JobReads(pool),
        creates=JobCreates(pool),
        now_ms=lambda: NOW_MS,
        random_bytes=bytes,
        egress=EgressRules.parse(allow=(), own=[]),
        ready=_ready,
        version="bench",
    )
    transport = ASGITransport(build_app(deps))
    for name, make in MIXES.items():
        await _seed(dsn, jobs, make)
        worst: list[float] = []
        watch = asyncio.create_task(_stalls(worst))
        async with AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            begun = perf_counter()
            end = instant_at(NOW_MS + days * 86_400_000).isoformat().replace("+", "%2B")
            answer = await http.get(f"/forecast?to={end}", timeout=120)
            took = perf_counter() - begun
        watch.cancel()
        told = answer.json()
        worst.sort()
        peak = max(minute["count"] for minute in told["minutes"])
        fires = sum(minute["count"] for minute in told["minutes"])
        print(
            f"{name:20} {took:6.2f} s  {fires:12,} fires  busiest minute {peak:8,}"
            f"  loop late p99 {worst[int(len(worst) * 0.99)] * 1000:.1f} ms,"
            f" worst {worst[-1] * 1000:.1f} ms",
            flush=True,
        )
    pool.terminate()


def main() -> int:
    """Seed, ask, print."""
    given = argparse.ArgumentParser(description="a forecast over many jobs")
    given.add_argument("--jobs", type=int, default=100_000)
    given.add_argument("--days", type=int, default=1)
    asked = given.parse_args()
    print(f"{asked.jobs:,} jobs, {asked.days} day(s), 200 hosts", flush=True)
    with embedded.throw_away() as server:
        asyncio.run(_run(server.dsn, asked.jobs, asked.days))
    return 0


async def _run(dsn: str, jobs: int, days: int) -> None:
    await migrate.migrate(dsn)
    await _measure(dsn, jobs, days)


if __name__ == "__main__":
    sys.exit(main())
