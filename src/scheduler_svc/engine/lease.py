"""The right to work, by this replica's own monotonic clock.

The database keeps the lease for others to see; this one ends a margin earlier, counted from before
the heartbeat was sent, so that a slow success can not stretch it (G6).
"""

from scheduler_svc.engine.clock import Clock

MARGIN_SECONDS = 1.0


class Lease:
    """Held from one heartbeat for the length of the lease less the margin."""

    def __init__(self, clock: Clock, *, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds
        self._until = float("-inf")
        self.term = 0
        """How often the lease was had anew, after it had ended."""

    def renewed(self, sent: float) -> None:
        """Count a heartbeat that succeeded, from the monotonic instant before it was sent."""
        if not self.held:
            self.term += 1
        self._until = max(self._until, sent + self.seconds - MARGIN_SECONDS)

    def holds(self, term: int) -> bool:
        """Tell whether the lease of a term still lasts, without a gap since."""
        return term == self.term and self._clock.monotonic() < self._until

    def ended(self) -> None:
        """Give the lease up."""
        self._until = float("-inf")

    @property
    def age(self) -> float:
        """Return the seconds since the heartbeat that renewed it was sent; endless before one."""
        return self._clock.monotonic() - (self._until - self.seconds + MARGIN_SECONDS)

    @property
    def held(self) -> bool:
        """Tell whether this replica may start sending."""
        return self._clock.monotonic() < self._until
