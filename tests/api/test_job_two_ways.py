"""A create in one statement is the create in several: the same answer, rows, events and notices."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from random import Random
from typing import Any

import asyncpg
import httpx2
import pytest
from msgspec import structs

from factories import MORNING_MS, URL, Clock, Json, body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.herd import Herds
from scheduler_svc.api.known_rules import KnownRules
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.store.pool import Pool

MANY = 120
BATCH = 12
LONG_WAY = Quotas(jobs_max=1_000_000)
"""Where jobs are counted one statement is not enough; nothing else of an answer depends on it."""
SEALED = re.compile(r"sealed:v1:[^\"\\]+")
TABLES = ("jobs", "job_timers", "job_expectations", "job_incidents", "runs", "signing_secrets")
PARTS: dict[str, list[Any]] = {
    "name": ["a", "b", None, "A", "0198aaaabbbb7cccdddd0123456789ab", 7],
    "description": ["", "é\u0001", "x" * 4097],
    "labels": [{}, {"team": "x"}, {"scheduler.owner": "me"}, {"Bad Key": "x"}, {"a": 1}],
    "schedule": [
        {"every": "90m"},
        {"every": "1s"},
        {"every": "1h", "anchor": "2026-01-05T08:00:00.0007+02:00"},
        {"cron": "H H * * *", "spread": "10m"},
        {"cron": ["0 9 * * MON", "@hourly"], "timezone": "Europe/Berlin", "max_runs": 3},
        {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "exclude": ["* * * * SUN"]},
        {"cron": "0 0 30 2 *"},
        {"cron": "* * * * *", "timezone": "No/Where"},
        {"at": "2026-01-05T08:00:30Z"},
        {"at": "2031-01-05T08:00:30+05:30"},
        {"at": ["2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"], "if_past": "run"},
        {"at": "2020-01-01T00:00:00Z", "if_past": "skip"},
        {"at": "2020-01-01T00:00:00Z"},
        {"cron": "0 9 * * *", "end": "2025-01-01T00:00:00Z"},
        {"every": "1h", "start": "2026-02-01T00:00:00Z"},
        {},
    ],
    "target": [
        {"body": {"é": [1, 1.50, None]}},
        {"headers": {"Authorization": "Bearer s", "X-A": "b"}},
        {"headers": {"X-A": "{{label:team}}"}},
        {"headers": {"X-A": "{{secret:nosuch}}"}},
        {"auth": {"type": "basic", "username": "u", "password": "p"}},
        {"auth": {"type": "oidc", "audience": "x"}},
        {"sign": True},
        {"sign": False, "concurrency_key": "k", "completion": "callback"},
        {"url": "http://10.0.0.1/"},
        {"body_base64": "AAEC"},
    ],
    "alerts": [{"url": URL, "never_ran": True}, {"url": URL, "late_after": "90m"}, {}],
    "retry": [{"max_attempts": 2, "on": [500]}, {"multiplier": 0}],
    "misfire": [{"policy": "all", "grace": "5s"}],
    "overlap": ["queue", "never"],
    "priority": [5, 1000],
    "retention": [{"age": "1d", "count": 5}, None],
    "delete_after_completion": [True],
    "unknown": [1],
}


def bodies() -> Iterator[Json]:
    """Draw jobs of a few parts each; every part comes alone too."""
    for name, values in PARTS.items():
        for value in values:
            yield body(**{name: value})
    drawn = Random(20260105)
    for _ in range(MANY):
        names = drawn.sample(sorted(PARTS), drawn.randint(2, 4))
        yield body(**{name: drawn.choice(PARTS[name]) for name in names})


def alike(deps: Deps, quotas: Quotas, told: list[Any], seed: Callable[[], int]) -> Deps:
    """Lend the same once more, with ids that go by the number of the request."""

    def drawn(length: int) -> bytes:
        return sha256(seed().to_bytes(8)).digest()[:length]

    def tell(event: Any, **fields: Any) -> None:
        told.append((event, fields))

    return structs.replace(
        deps,
        quotas=quotas,
        rules=KnownRules(),
        herds=Herds(),
        random_bytes=drawn,
        on_event=tell,
    )


async def rows(pool: Pool) -> list[str]:
    """All that stands in the tables, but for what is drawn anew or stamped by another clock."""
    found: list[str] = []
    for table in (*TABLES, "audit_pending"):
        left_out = "- 'at' - 'id'" if table == "audit_pending" else ""
        read = await pool.fetch(f"SELECT to_jsonb(t) {left_out} FROM {table} AS t")
        found += sorted(f"{table} {SEALED.sub('sealed', row[0])}" for row in read)
    return found


async def forgotten(pool: Pool) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SET LOCAL scheduler.audit TO 'upkeep'")
        tables = ", ".join((*TABLES, "audit_pending", "idempotency_keys"))
        await conn.execute(f"TRUNCATE {tables} CASCADE")


@asynccontextmanager
async def hearing(dsn: str) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """Hear notices; what is given waits until all that was sent so far is heard, and tells it."""
    heard: list[str] = []
    ended = asyncio.Event()

    def hear(*notice: Any) -> None:
        if notice[-1] == "end":
            ended.set()
        else:
            heard.append(notice[-1])

    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await conn.add_listener("scheduler", hear)

        async def all_heard() -> list[str]:
            ended.clear()
            await conn.execute("SELECT pg_notify('scheduler', 'end')")
            await asyncio.wait_for(ended.wait(), 30)
            found = heard.copy()
            heard.clear()
            return found

        yield all_heard
    finally:
        await conn.close()


async def asked(deps: Deps, pool: Pool, dsn: str, given: list[Json], quotas: Quotas) -> list[Any]:
    """Create each, and say all that came of it."""
    told: list[Any] = []
    transport = httpx2.ASGITransport(build_app(alike(deps, quotas, told, lambda: numbers)))
    answers: list[Any] = []
    numbers = 0
    async with (
        hearing(dsn) as all_heard,
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        for number, one in enumerate(given):
            named = {"X-Request-ID": f"r-{number}"}
            if number % 3 == 0:
                named["Idempotency-Key"] = f"k-{number}"
            for _ in range(2):  # the second is a replay, a taken name, or another job
                numbers += 1
                answer = await http.post("/jobs", json=one, headers=named)
                answers.append((answer.status_code, answer.text, dict(answer.headers)))
        found = [answers, told, await all_heard(), await rows(pool)]
    await forgotten(pool)
    return found


PIECES = [list(bodies())[at : at + BATCH] for at in range(0, len(list(bodies())), BATCH)]


@pytest.mark.parametrize("piece", range(len(PIECES)))
async def test_a_create_is_the_same_whichever_way_it_takes(
    pool: Pool, dsn: str, deps: Deps, clock: Clock, piece: int
) -> None:
    clock.ms = MORNING_MS
    short, long = [
        await asked(deps, pool, dsn, PIECES[piece], quotas) for quotas in (Quotas(), LONG_WAY)
    ]
    for ours, theirs in zip(short, long, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one == other
