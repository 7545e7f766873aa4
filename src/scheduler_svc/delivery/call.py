"""One request on its way: what a connection is given to write, and who takes what comes of it.

Knows its limits and when it began; keeps none of them itself.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from scheduler_svc.delivery.exchange import Exchange, ExchangeOutcome, Timing, Withheld

if TYPE_CHECKING:
    from scheduler_svc.delivery.connection import Connection


class Call:
    """One request on its way to its Exchange, with its limits; `answer` takes what comes of it."""

    __slots__ = (
        "body_cap",
        "connection",
        "deadline",
        "dial_timing",
        "first_byte_timeout",
        "head_only",
        "may_write",
        "payload",
        "started",
        "written",
    )

    def __init__(
        self,
        payload: bytes,
        *,
        head_only: bool,
        may_write: Callable[[], bool] | None,
        body_cap: int,
        first_byte_timeout: float,
        deadline: float,
    ) -> None:
        self.payload = payload
        self.head_only = head_only
        self.may_write = may_write
        self.body_cap = body_cap
        self.first_byte_timeout = first_byte_timeout
        self.deadline = deadline
        """Of the whole call, by the loop's clock; redirects share that of the first."""
        self.started = self.written = perf_counter()
        self.dial_timing: Timing | None = None
        self.connection: Connection | None = None

    @property
    def waits(self) -> bool:
        """Tell whether somebody still wants the answer."""
        raise NotImplementedError

    def answer(self, said: Exchange | Withheld | None) -> None:
        """Take the end of the call; None is word that it has a slot now, and is to dial."""
        raise NotImplementedError

    def failed(self, outcome: ExchangeOutcome, error: str) -> Exchange:
        return Exchange(
            outcome,
            error=error,
            timing=self.dial_timing or Timing(),
            duration_ms=(perf_counter() - self.started) * 1000,
        )
