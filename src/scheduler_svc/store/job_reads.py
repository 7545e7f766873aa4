"""Single jobs that several callers ask for at once, read by one statement."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from scheduler_svc.domain.jobs import Job
from scheduler_svc.store.gathering import LANES, Gathering
from scheduler_svc.store.jobs import with_last_run
from scheduler_svc.store.pool import CALL_SECONDS, Connection, Pool
from scheduler_svc.store.queries import statement

Key = tuple[str, UUID]
"""A namespace, and a job's id."""


class JobReads:
    """Reads jobs for those who ask at once (`gathering`)."""

    def __init__(self, pool: Pool, *, seconds: float = CALL_SECONDS, lanes: int = LANES) -> None:
        self._reads: Gathering[Key, Record | None] = Gathering(
            pool, _read, repeats=True, seconds=seconds, lanes=lanes
        )

    async def get_job(self, namespace: str, job_id: UUID) -> Job | None:
        """Read one job, its last run included; raise what `is_database_away` knows."""
        row = await self._reads.get((namespace, job_id))
        return None if row is None else with_last_run(row)


async def _read(conn: Connection, keys: Sequence[Key]) -> list[Record | None]:
    rows = await conn.fetch(
        statement("get_jobs_asked"), [key[0] for key in keys], [key[1] for key in keys]
    )
    by_place = {row["place"]: row for row in rows}
    return [by_place.get(place) for place in range(1, len(keys) + 1)]
