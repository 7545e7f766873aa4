"""A call that a coroutine waits for: the ordinary way, and that of redirects.

The engine's flights are the other kind: they are told, and nobody waits (`engine/flight.py`).
"""

import asyncio

from scheduler_svc.delivery.call import Call
from scheduler_svc.delivery.exchange import Exchange, HttpRequest, Withheld


class AwaitedCall(Call):
    """Its future brings the Exchange, or None as word to dial, or raises Withheld."""

    __slots__ = ("future",)

    def __init__(
        self,
        request: HttpRequest,
        payload: bytes,
        deadline: float | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            payload,
            head_only=request.method == "HEAD",
            may_write=request.may_write,
            body_cap=request.capture_max,
            first_byte_timeout=request.first_byte_timeout,
            deadline=loop.time() + request.total_timeout if deadline is None else deadline,
        )
        self.future: asyncio.Future[Exchange | None] = loop.create_future()

    @property
    def waits(self) -> bool:
        return not self.future.done()

    @property
    def has_slot(self) -> bool:
        """Tell whether word to dial had just come."""
        future = self.future
        return future.done() and not future.cancelled() and future.result() is None

    def answer(self, said: Exchange | Withheld | None) -> None:
        if self.future.done():
            return
        if isinstance(said, Withheld):
            self.future.set_exception(said)
        else:
            self.future.set_result(said)
