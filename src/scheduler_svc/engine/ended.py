"""The end of one attempt, as a value that waits to be settled."""

from typing import TypeAlias

import msgspec

from scheduler_svc.delivery.record import Record
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.outcome import Verdict
from scheduler_svc.domain.runs import RunStatus
from scheduler_svc.engine.hand import HeldRun

Settled: TypeAlias = tuple[RunStatus, str | None]
"""What the database made of an end: status and reason."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt that ended, with its verdict and its record; none where nothing was sent."""

    held: HeldRun
    verdict: Verdict
    started_ms: int
    ended_ms: int
    record: Record | None = None

    @property
    def first_ms(self) -> int:
        """Return when the first attempt of the run was sent, in epoch milliseconds."""
        started_at = self.held.claim.started_at
        return self.started_ms if started_at is None else epoch_ms(started_at)
