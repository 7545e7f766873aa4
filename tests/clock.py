"""A clock that a test moves by hand: the database's time and the monotonic one, in step."""

from datetime import datetime

from scheduler_svc.engine.clock import DatabaseClock


class HandClock(DatabaseClock):
    """Stands still until moved; what it is told of the real clock it does not believe."""

    def __init__(self, ms: int) -> None:
        super().__init__()
        self.ms = ms

    def move(self, ms: int) -> None:
        """Let so many milliseconds pass."""
        self.ms += ms

    def observe(self, *, sent: float, received: float, now: datetime) -> float:  # noqa: ARG002
        """Stay where the hand is."""
        return 0.0

    @property
    def known(self) -> bool:
        return True

    def monotonic(self) -> float:
        return self.ms / 1000

    def now_ms(self) -> int:
        return self.ms

    def seconds_until(self, at_ms: int) -> float:
        return (at_ms - self.ms) / 1000

    def wall_offset_ms(self) -> float:
        return 0.0


class PassingClock(HandClock):
    """Time goes on with each look at it."""

    def now_ms(self) -> int:
        self.ms += 20
        return self.ms
