"""Jobs that can not be decided or read are set aside, and the look goes on (DESIGN 6.8).

Promises that each is told of once, when it is known that what parked it has committed: the claim
around it may be contested, or lose its connection, and is then made anew.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from scheduler_svc.domain.events import EventName
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import settlements
from scheduler_svc.store.pool import Connection, run_once_more

T = TypeVar("T")


class Parking:
    """What one piece of work parks, however often it is made."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._parked: dict[UUID, tuple[int, str]] = {}
        """When the work parked which jobs, the last time it was made, and why."""
        self._committed: dict[UUID, str] = {}

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run the work in a transaction; once more on a fresh connection when its own breaks."""

        async def anew(conn: Connection) -> T:
            await self._begin(conn)
            return await work(conn)

        seconds = self._parts.limits.database_seconds
        return await run_once_more(self._parts.pool, anew, seconds=seconds)

    async def park(self, conn: Connection, job_id: UUID, error: Exception) -> None:
        """Pause an active job within the work, with the reason."""
        now_ms = self._parts.clock.now_ms()
        reason = f"the service could not decide this job: {type(error).__name__}"
        if await settlements.pause_jobs(conn, [job_id], reason=reason, now_ms=now_ms):
            self._parked[job_id] = now_ms, repr(error)

    def tell(self) -> None:
        """Say what was parked, after the commit."""
        parked = {job_id: error for job_id, (_, error) in self._parked.items()}
        for job_id, error in (self._committed | parked).items():
            self._parts.on_event(EventName.JOB_PARKED, job_id=job_id, error=error)

    async def _begin(self, conn: Connection) -> None:
        """Of what was parked before keep what is there: only the answer to its commit was lost."""
        before, self._parked = self._parked, {}
        if not before:
            return
        ats = [(job_id, now_ms) for job_id, (now_ms, _) in before.items()]
        for job_id in await settlements.paused_at(conn, ats):
            self._committed[job_id] = before[job_id][1]
