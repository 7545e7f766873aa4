"""What the drift guard keeps of each job: its coming instants, and who computed them."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.drift import Expectation
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store import jobs
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.timers import DEFINITION, StoredJob, load_definitions


class Expected(Struct, frozen=True):
    """A job as it is stored, and the instants that were expected of it."""

    job: StoredJob
    instants: list[int]


class LockedTimer(Struct, frozen=True):
    """A timer that this transaction holds."""

    job_id: UUID
    scheduled_for: datetime | None
    fire_at: datetime | None
    runs_made: int
    revision: int


async def write(conn: Connection, expected: Sequence[Expectation], versions: str) -> None:
    """Keep what these versions expect of some jobs."""
    await conn.execute(
        statement("write_expectations"),
        versions,
        [one.job_id for one in expected],
        [literal(tuple(one.instants)) for one in expected],
        [None if one.refresh_ms is None else instant_at(one.refresh_ms) for one in expected],
    )


def of_one(expected: Expectation, versions: str) -> jobs.Expected:
    """Write what is expected of a new job as its insert takes it."""
    refresh = None if expected.refresh_ms is None else instant_at(expected.refresh_ms)
    return versions, literal(tuple(expected.instants)), refresh


async def other_versions(conn: Connection, versions: str) -> list[str]:
    """Name the other versions that computed anything that is kept."""
    return [row[0] for row in await conn.fetch(statement("other_versions"), versions)]


async def under(conn: Connection, versions: str, after: UUID, *, at_most: int) -> list[Expected]:
    """Return a page of what other versions expect, by job."""
    rows = await conn.fetch(statement("expectations_under"), versions, after, at_most)
    return [
        Expected(
            StoredJob(
                row["job_id"],
                row["namespace"],
                row["revision"],
                row["definition"],
                row["created_at"],
            ),
            [epoch_ms(at) for at in row["instants"]],
        )
        for row in rows
    ]


async def stale(conn: Connection, *, now_ms: int, at_most: int) -> list[UUID]:
    """Return jobs whose kept instants have passed."""
    rows = await conn.fetch(statement("stale_expectations"), instant_at(now_ms), at_most)
    return [row[0] for row in rows]


async def missing(conn: Connection, after: UUID, *, at_most: int) -> list[UUID]:
    """Return jobs of which nothing is kept, by id."""
    rows = await conn.fetch(statement("jobs_without_expectations"), after, at_most)
    return [row[0] for row in rows]


async def lock_timers(conn: Connection, job_ids: Sequence[UUID]) -> list[LockedTimer]:
    """Lock the timers of jobs against the claim and changes."""
    return [LockedTimer(*row) for row in await conn.fetch(statement("lock_timers"), job_ids)]


async def set_timers(conn: Connection, moves: Sequence[tuple[UUID, int | None, int]]) -> None:
    """Put locked timers to other occurrences: job, nominal time, when it is sent."""
    await conn.execute(
        statement("set_timers"),
        [job_id for job_id, _, _ in moves],
        [None if at is None else instant_at(at) for _, at, _ in moves],
        [instant_at(fire_ms) for _, _, fire_ms in moves],
    )


async def plans(conn: Connection, job_ids: Sequence[UUID]) -> list[PlannedJob]:
    """Read and compile jobs; what can not be understood is left to the tick, which parks it."""
    return [plan for job in await load_definitions(conn, job_ids) if (plan := planned(job))]


def planned(job: StoredJob) -> PlannedJob | None:
    """Compile a stored job; None where that fails."""
    try:
        definition = DEFINITION.decode(job.definition)
        return plan_job(job.id, job.namespace, job.revision, definition, job.created_at)
    except Exception:  # noqa: BLE001 - the poison guard is the tick's
        return None


@lru_cache(maxsize=4096)
def literal(instants: tuple[int, ...]) -> str:
    """Write instants as PostgreSQL's text of an array; many jobs have the same."""
    return "{" + ",".join(instant_at(at).isoformat() for at in instants) + "}"
