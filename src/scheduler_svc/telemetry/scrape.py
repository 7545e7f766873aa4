"""One scrape: figures of every worker behind the port, and those that all share.

Promises the same series whichever of several workers is asked: it asks the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from scheduler_svc.engine.run import Engine
from scheduler_svc.store.pool import Pool
from scheduler_svc.telemetry.exposition import exposition
from scheduler_svc.telemetry.gauges import Figures, Shared, standing
from scheduler_svc.telemetry.tally import Sample, Snapshot, Tally

Gather = Callable[[], Awaitable[dict[str, Snapshot | None]]]
"""Gives the snapshot of each worker under the command, by its number; None of a silent one."""
ALONE = "0"


class Scrape:
    """Answers `/metrics` for one process."""

    def __init__(
        self, tally: Tally, engine: Engine, pools: Mapping[str, Pool], *, replicas_wanted: int
    ) -> None:
        self._tally, self._engine, self._pools = tally, engine, pools
        self._shared = Shared(engine, replicas_wanted=replicas_wanted)
        self.gather: Gather | None = None
        self.certificate_ends: Callable[[], float] | None = None

    def own(self) -> Snapshot:
        """Return the figures of this process."""
        found = self._tally.snapshot() | standing(self._engine, self._pools)
        if self.certificate_ends is not None:
            found["scheduler_certificate_expires_seconds"] = [Sample((), self.certificate_ends())]
        return found

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return the whole page and its media type."""
        found = {ALONE: self.own()} if self.gather is None else await self.gather()
        workers = {number: one for number, one in found.items() if one is not None}
        shared = await self._shared.read() | {
            "scheduler_workers": [Sample((), len(found))],
            "scheduler_workers_silent": [Sample((), len(found) - len(workers))],
        }
        # Formatting takes milliseconds with many workers, for which a timer would wait.
        return await asyncio.to_thread(exposition, Figures(workers, shared), accept)
