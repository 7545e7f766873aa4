"""How one replica stands, read when somebody asks; and what all replicas share in the database.

Promises that a replica's own figures cost no question to anybody, and that the database is asked
by bounded statements, at most once in CACHE_SECONDS however often it is scraped.
"""

import os
import platform
import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.zones import tzdata_version
from scheduler_svc.engine.run import Engine
from scheduler_svc.store import audit, holds, partitions, sql_requests
from scheduler_svc.store.backlog import COUNTED_MAX, Backlog, Waiting, backlog
from scheduler_svc.store.pool import Pool, connection, is_database_away
from scheduler_svc.store.replicas import list_replicas
from scheduler_svc.telemetry.tally import Sample, Snapshot

CACHE_SECONDS = 5.0
ASK_SECONDS = 2.0
ROLES = ("all", "api", "engine")
_STARTED = time.time()


def standing(engine: Engine, pools: Mapping[str, Pool]) -> Snapshot:
    """Read what this replica knows of itself."""
    who, parts = engine.heart.who, engine.parts
    figures: dict[str, float] = {
        "slots": who.slots,
        "slots_used": len(parts.hand),
        "runs_held": len(parts.hand.unsent()),
        "lease_held": float(parts.lease.held),
        "breakers_open": parts.pressure.open_breakers,
        "clock_offset_seconds": engine.clock.wall_offset_ms() / 1000,
        "process_cpu_seconds": time.process_time(),
        "process_start_time_seconds": _STARTED,
    }
    if (age := parts.lease.age) != float("inf"):
        figures["lease_age_seconds"] = age
    if engine.claims and engine.pace.last_tick != float("-inf"):
        figures["tick_age_seconds"] = parts.clock.monotonic() - engine.pace.last_tick
    figures["process_resident_bytes"] = _resident_bytes()
    found = {f"scheduler_{name}": [Sample((), value)] for name, value in figures.items()}
    build = (who.version, platform.python_version(), tzdata_version(), who.role)
    found["scheduler_build"] = [Sample(build, 1)]
    found["scheduler_database_connections"] = [
        sample for name, pool in pools.items() for sample in _connections(name, pool)
    ]
    found["scheduler_database_connections_max"] = [
        Sample((name,), pool.get_max_size()) for name, pool in pools.items()
    ]
    return found


def _connections(name: str, pool: Pool) -> tuple[Sample, Sample]:
    idle = pool.get_idle_size()
    return Sample((name, "idle"), idle), Sample((name, "used"), pool.get_size() - idle)


def _resident_bytes() -> int:
    """Return the memory of this process now, or at most so far where /proc does not tell."""
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Shared:
    """What the database says of all replicas together, remembered for a few seconds."""

    def __init__(self, engine: Engine, *, replicas_wanted: int) -> None:
        self._engine = engine
        self._wanted = Sample((), replicas_wanted)
        self._read_at = float("-inf")
        self._found: Snapshot = {}

    async def read(self) -> Snapshot:
        """Return it, asking the database where what is remembered is too old."""
        now = self._engine.parts.clock.monotonic()
        if now > self._read_at + CACHE_SECONDS:
            # Before the question: who asks meanwhile is given what there was.
            self._read_at = now
            self._found = await self._ask()
        return self._found

    async def _ask(self) -> Snapshot:
        parts = self._engine.parts
        now_ms = parts.clock.now_ms()
        found: Snapshot = {"scheduler_replicas_wanted": [self._wanted]}
        try:
            async with connection(parts.pool, seconds=ASK_SECONDS) as conn:
                waiting = await backlog(conn, now_ms=now_ms)
                alive: list[str] = [one.role for one in await list_replicas(conn, now_ms=now_ms)]
                days = await partitions.names(conn)
                held = await holds.count(conn)
                unsealed = await audit.oldest_unsealed(conn)
                asked, since = await sql_requests.backlog(conn, at_most=COUNTED_MAX)
        except Exception as error:
            if not is_database_away(error):
                raise
            return found | {"scheduler_database_up": [Sample((), 0)]}
        ahead = _days_ahead(days, instant_at(now_ms).date())
        return (
            found
            | _waiting(waiting, now_ms)
            | {
                "scheduler_database_up": [Sample((), 1)],
                "scheduler_replicas": [Sample((role,), alive.count(role)) for role in ROLES],
                "scheduler_namespaces_held": [Sample((), held)],
                "scheduler_partitions_ahead": [Sample((), ahead)],
                "scheduler_audit_unsealed_seconds": [Sample((), _age(unsealed, now_ms))],
                "scheduler_sql_requests_waiting": [Sample((), asked)],
                "scheduler_sql_requests_oldest_seconds": [Sample((), _age(since, now_ms))],
                "scheduler_jobs_never_ran": [Sample((), waiting.never_ran)],
            }
        )


def _age(since: datetime | None, now_ms: int) -> float:
    return 0.0 if since is None else max(0.0, (now_ms - epoch_ms(since)) / 1000)


def _waiting(found: Backlog, now_ms: int) -> Snapshot:
    kinds: dict[str, Waiting] = {
        kind: getattr(found, kind) for kind in ("timers", "runs", "background")
    }
    return {
        "scheduler_backlog_due": [Sample((kind,), one.due) for kind, one in kinds.items()],
        "scheduler_backlog_overdue": [Sample((kind,), one.overdue) for kind, one in kinds.items()],
        "scheduler_backlog_oldest_seconds": [
            Sample((kind,), 0.0 if one.oldest_ms is None else (now_ms - one.oldest_ms) / 1000)
            for kind, one in kinds.items()
        ],
    }


def _days_ahead(names: list[str], today: date) -> int:
    """Count the days after today that have a partition, up to the first that has none."""
    have = set(names)
    if partitions.partition_name(today) not in have:
        return -1
    ahead = 0
    while partitions.partition_name(today + timedelta(days=ahead + 1)) in have:
        ahead += 1
    return ahead


class Figures(msgspec.Struct, frozen=True):
    """One scrape: a snapshot of each worker by its number, and what they share."""

    workers: dict[str, Snapshot]
    shared: Snapshot
