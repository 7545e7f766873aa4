"""What the dashboard sums up, one typed function a statement; instants are epoch milliseconds.

Promises bounded work, whatever the tables hold: a count that reached its bound means "or more".
All run in a transaction of the caller's that begins with `fresh_plans`.
"""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

LOOKED_AT_MAX = 10_000
FAILURES_MAX = 20_000
JOBS_MAX = 1_000_000
DAY_RUNS_MAX = 300
"""By so many runs of a day a job's day is judged."""


class Pulse(Struct, frozen=True, kw_only=True):
    """How the newest runs went; lateness is of those that the schedule named."""

    ended: int
    failed: int
    p50_ms: int | None
    p99_ms: int | None


class OpenRuns(Struct, frozen=True, kw_only=True):
    """What is under way, and what waits: for a replica, for a retry, behind another run."""

    running: int
    waiting: int
    retrying: int
    queued: int


class PastRun(Struct, frozen=True, gc=False):
    """A run in a few words, for strips and charts; its fields in the order of the statement."""

    id: UUID
    scheduled_ms: int
    trigger: str
    status: str
    reason: str | None
    occurrences: int
    attempt_count: int
    lateness_ms: int | None
    duration_ms: int | None


class PastDay(Struct, frozen=True):
    """What became of a job on a day, which began at `since_ms`."""

    since_ms: int
    runs: int
    failed: int
    skipped: int


async def fresh_plans(conn: Connection) -> None:
    """Plan for the very parameters from here on, so that days outside of a window are left out."""
    await conn.execute(statement("plan_afresh"))


async def fires_by_minute(
    conn: Connection, namespace: str, *, since_ms: int, until_ms: int
) -> dict[int, int]:
    """Count what was due in each minute, by its beginning."""
    rows = await conn.fetch(
        statement("fires_by_minute"), namespace, instant_at(since_ms), instant_at(until_ms)
    )
    return {epoch_ms(row["minute"]): row["fires"] for row in rows}


async def failures_by_minute(
    conn: Connection, namespace: str, *, since_ms: int, until_ms: int
) -> dict[int, int]:
    """Count what failed of it."""
    window = (instant_at(since_ms), instant_at(until_ms))
    rows = await conn.fetch(statement("failures_by_minute"), namespace, *window, FAILURES_MAX)
    return {epoch_ms(row["minute"]): row["failures"] for row in rows}


async def recent_pulse(conn: Connection, namespace: str, *, since_ms: int, until_ms: int) -> Pulse:
    """Look at the newest runs of a window."""
    window = (instant_at(since_ms), instant_at(until_ms))
    (row,) = await conn.fetch(statement("recent_pulse"), namespace, *window, LOOKED_AT_MAX)
    return Pulse(**dict(row))


async def open_runs(conn: Connection, namespace: str, *, now_ms: int) -> OpenRuns:
    """Count what is not ended."""
    (row,) = await conn.fetch(
        statement("unended_runs"), namespace, instant_at(now_ms), LOOKED_AT_MAX
    )
    return OpenRuns(**dict(row))


async def overdue_jobs(conn: Connection, namespace: str, *, before_ms: int) -> int:
    """Count the jobs that nobody claimed though their instant lies before this one."""
    found: int = await conn.fetchval(
        statement("overdue_of_namespace"), namespace, instant_at(before_ms), LOOKED_AT_MAX
    )
    return found


async def count_jobs(conn: Connection, namespace: str) -> dict[str, int]:
    """Count the jobs of each state."""
    rows = await conn.fetch(statement("count_jobs_by_state"), namespace, JOBS_MAX)
    return {row["state"]: row["count"] for row in rows}


async def past_runs(
    conn: Connection, job_ids: Sequence[UUID], *, since_ms: int, until_ms: int, per_job: int
) -> dict[UUID, list[PastRun]]:
    """Return the newest runs of each job within a window, newest first."""
    window = (instant_at(since_ms), instant_at(until_ms))
    rows = await conn.fetch(statement("past_runs"), job_ids, *window, per_job)
    found: dict[UUID, list[PastRun]] = defaultdict(list)
    for job_id, run_id, scheduled_for, *rest in rows:
        found[job_id].append(PastRun(run_id, epoch_ms(scheduled_for), *rest))
    return found


async def runs_by_day(
    conn: Connection, job_id: UUID, days: Sequence[tuple[int, int]]
) -> list[PastDay]:
    """Judge each day by its last runs; days on which nothing was due are left out."""
    since, until = ([instant_at(day[side]) for day in days] for side in (0, 1))
    rows = await conn.fetch(statement("runs_by_day"), job_id, since, until, DAY_RUNS_MAX)
    return [
        PastDay(epoch_ms(row["since"]), row["runs"], row["failed"], row["skipped"]) for row in rows
    ]
