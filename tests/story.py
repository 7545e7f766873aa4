"""A small company's jobs with a day behind them: what pages are shown with.

The jobs are made by the API; what lies behind them is written as the engine would have left it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from fleet import database
from receiver import Receiver, answer
from scheduler_svc.domain.ids import epoch_ms, run_id
from scheduler_svc.store import partitions

Json = dict[str, Any]
DENIED = b'{"error": "maintenance", "until": "18:00"}'
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
JOBS: dict[str, Json] = {
    "nightly-report": {
        "description": "Figures of the day before, for the managers",
        "labels": {"team": "billing", "tier": "gold"},
        "schedule": {"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"},
    },
    "invoices": {
        "description": "Sends what is due",
        "labels": {"team": "billing"},
        "schedule": {"cron": "*/15 * * * *", "timezone": "Europe/Berlin"},
    },
    "sync-crm": {
        "labels": {"team": "sales"},
        "schedule": {"every": "10m"},
        "retry": {"max_attempts": 3, "initial_delay": "1s"},
    },
    "exchange-rates": {"labels": {"team": "treasury"}, "schedule": {"every": "5m"}},
    "rotate-logs": {"labels": {"team": "platform"}, "schedule": {"cron": "30 2 * * *"}},
    "search-index": {"labels": {"team": "platform"}, "schedule": {"cron": "5,35 * * * *"}},
    "weekly-digest": {
        "labels": {"team": "growth"},
        "schedule": {"cron": "0 8 * * MON", "timezone": "America/New_York"},
    },
}
PERIODS = {"invoices": 15, "sync-crm": 10, "exchange-rates": 5, "search-index": 30}
"""The jobs with a past, and the minutes between two of their occurrences."""
REPLICA = UUID(int=7)
CROWD, HERD = 300, 110
"""Jobs that fire once a day, and how many of them do so in one minute."""


@dataclass(frozen=True)
class Story:
    """What was made: jobs by name, and a run of each kind by its status."""

    jobs: dict[str, Json]
    runs: dict[str, UUID]


async def tell(http: httpx2.AsyncClient, target: Receiver, dsn: str) -> Story:
    """Make the jobs and what lies behind them."""
    target.on("/sync-crm", answer(503, DENIED, {"Content-Type": "application/json"}))
    crowd = await http.post("/jobs/bulk", json={"jobs": list(_crowd())})
    assert crowd.status_code == 201, crowd.text
    jobs: dict[str, Json] = {}
    for name, definition in JOBS.items():
        target_of = {"url": target.url(f"/{name}"), "body": {"job": name, "dry": False}}
        made = await http.put(f"/jobs/{name}", json={"target": target_of, **definition})
        assert made.status_code in {200, 201}, made.text
        jobs[name] = made.json()
    paused = {"reason": "the printers are on holiday"}
    await http.post("/jobs/weekly-digest/pause", json=paused)
    return Story(jobs, await _past(dsn, jobs))


def _crowd() -> Iterator[Json]:
    """Make many jobs with one time of day: they are what a forecast is looked at for."""
    for number in range(CROWD):
        hour = 6 if number < HERD else 8 + number % 12
        host = ("billing", "search", "crm")[number % 3]
        yield {
            "name": f"tenant-{number + 1}",
            "labels": {"team": "tenants"},
            "schedule": {"cron": f"0 {hour} * * *", "timezone": "Europe/Berlin"},
            "target": {"url": f"https://{host}.test/tenants/{number + 1}"},
        }


async def _past(dsn: str, jobs: dict[str, Json]) -> dict[str, UUID]:
    """Write a day of runs; return one of each status, the newest."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    rand = random.Random(9)
    rows = [
        row
        for name, minutes in PERIODS.items()
        for row in _runs(name, UUID(jobs[name]["id"]), minutes, now, rand)
    ]
    async with database(dsn) as conn:
        await partitions.ensure(conn, today=now.date(), ahead=1)
        await conn.executemany(
            """
            INSERT INTO runs (id, scheduled_for, job_id, job_name, namespace, trigger, status,
                reason, attempt_count, replica, claimed_at, started_at, finished_at, lateness_ms,
                duration_ms, attempts)
            VALUES ($1, $2, $3, $4, 'default', 'schedule', $5, $6, $7, $8, $9, $9, $10, $11, $12,
                $13)
            ON CONFLICT DO NOTHING
            """,
            rows,
        )
        await conn.execute(
            "UPDATE jobs SET created_at = created_at - interval '2 days',"
            " updated_at = updated_at - interval '2 days'"
        )
    return {row[4]: row[0] for row in sorted(rows, key=lambda row: row[1])}


def _runs(
    name: str, job: UUID, minutes: int, now: datetime, rand: random.Random
) -> Iterator[tuple[Any, ...]]:
    for back in range(1, 24 * 60 // minutes):
        at = now - timedelta(minutes=back * minutes)
        late = rand.choice([2, 3, 4, 5, 8, 13, 40])
        status = "succeeded"
        if name == "sync-crm" and (back < 4 or rand.random() < 0.1):
            status = "failed"
        elif rand.random() < 0.03:
            status = "skipped"
        attempts = list(_attempts(status, at + timedelta(milliseconds=late), rand))
        took = sum(int(one["duration_ms"]) for one in attempts) + 4000 * (len(attempts) - 1)
        yield (
            *(run_id(job, epoch_ms(at)), at, job, name, status),
            {"failed": "attempts", "skipped": "overlap"}.get(status),
            *(len(attempts), REPLICA if attempts else None, at),
            at + timedelta(milliseconds=late + max(0, took)),
            *((late, took) if attempts else (None, None)),
            [msgspec.json.encode(one).decode() for one in attempts],
        )


def _attempts(status: str, begin: datetime, rand: random.Random) -> Iterator[Json]:
    if status == "skipped":
        return
    for number in range(1, 4 if status == "failed" else 2):
        first = number == 1
        waits = round(rand.lognormvariate(3.4, 0.6), 3)
        timing = {"dns_ms": 1.8, "connect_ms": 6.4, "tls_ms": 18.2} if first else {}
        failed = status == "failed"
        yield {
            "number": number,
            "started_at": begin + timedelta(seconds=4 * (number - 1)),
            "duration_ms": round(waits + sum(timing.values()) + 2.1, 3),
            "outcome": "http_error" if failed else "ok",
            "status_code": 503 if failed else 200,
            "error": None,
            "timing": {**timing, "first_byte_ms": waits},
            "replica": REPLICA,
            "response": {
                "headers": {"content-type": "application/json", "server": "crm"},
                "body": DENIED.decode() if failed else '{"accepted": true, "rows": 128}',
                "truncated": False,
            },
        }
