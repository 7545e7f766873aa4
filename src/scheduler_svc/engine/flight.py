"""Attempts that are told of their end: no task waits for them, no request is made but its bytes.

For first attempts of jobs that need nothing looked up, which are nearly all. Everything else takes
the longer way of `dispatch.attempt`, and both come to the same: the same bytes, the same checks of
the lease before and in the moment of writing, the same end in the outbox.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from scheduler_svc.delivery.call import Call
from scheduler_svc.delivery.exchange import Exchange, Route, Withheld
from scheduler_svc.delivery.origin import Origin
from scheduler_svc.delivery.request import payload
from scheduler_svc.delivery.sender import CLOSED, withdraw
from scheduler_svc.delivery.signing import Signer
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import weigh
from scheduler_svc.domain.spans import attempt_traceparent
from scheduler_svc.engine import judged
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.store.claims import ClaimedRun


class Landed:
    """What is left of an attempt that has ended."""

    def cancel(self) -> None:
        """Do nothing: there is nothing left to cut off."""

    def done(self) -> bool:
        """Tell that it has ended."""
        return True


LANDED = Landed()


class Flight(Call):
    """One attempt under way."""

    __slots__ = ("_dialling", "_volley", "dials", "held", "origin", "started_ms", "waits")

    waits: bool

    def __init__(self, volley: "Volley", held: HeldRun, message: bytes, started_ms: int) -> None:
        prepared = held.job.prepared
        # As the base does it, without the call: this is on the path of every fire.
        self.payload = message
        self.head_only = prepared.method == "HEAD"
        self.may_write = volley.may_write
        self.body_cap = volley.body_cap
        self.first_byte_timeout = prepared.timeout
        self.deadline = volley.loop.time() + prepared.timeout
        self.started = self.written = perf_counter()
        self.dial_timing = None
        self.connection = None
        self._volley = volley
        self._dialling: asyncio.Task[None] | None = None
        self.held = held
        self.started_ms = started_ms
        self.origin: Origin | None = None
        self.waits = True
        self.dials = False

    def done(self) -> bool:
        """Tell whether it has ended."""
        return not self.waits

    def answer(self, said: Exchange | Withheld | None) -> None:
        """Take what came of it; None is word that it has a slot, and is to dial."""
        if not self.waits:
            return
        if said is None:
            self._dialling = self._volley.tasks.create_task(self._dial())
            return
        self.waits = False
        self._volley.landed(self, said)
        self.held.task = LANDED  # and nothing holds the other for ever

    def cancel(self) -> None:
        """Cut it off; where that was asked for it is settled as cancelled."""
        if not self.waits:
            return
        self.waits = False
        withdraw(self)
        if self._dialling is not None and self.connection is None:
            self._dialling.cancel()
            if not self.dials and self.origin is not None:
                self.origin.release()  # the task never takes its first step
        self._volley.cut_off(self)
        self.held.task = LANDED

    async def _dial(self) -> None:
        self.dials = True
        route = self.held.job.prepared.route
        if self.origin is None or route is None:
            return
        try:
            failure = await self._volley.sender.dial(self.origin, route, self)
        except Exception as error:  # noqa: BLE001 - part of the one broad catch around a dispatch
            failure = self._volley.fault(self.held, error)
        if failure is not None:
            self.answer(failure)


class Plain(NamedTuple):
    """What a namespace asks of all its attempts."""

    signers: Sequence[Signer] | None
    """None where they have to be read."""
    narrowed: bool
    """It has rules of its own about whom it may call."""


def started_fields(claim: ClaimedRun) -> dict[str, object]:
    """Write down what is told of an attempt that begins."""
    return {
        "run_id": claim.id,
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "scheduled_for": instant_at(claim.scheduled_ms),
        "trigger": claim.trigger,
    }


class Volley:
    """What the attempts that start together share."""

    def __init__(self, parts: Parts, outbox: Outbox, tasks: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._outbox = outbox
        self.tasks = tasks
        self.sender = parts.sender
        self.loop = asyncio.get_running_loop()
        self.body_cap = parts.limits.capture_max
        self._now_ms = parts.clock.now_ms
        self._trace_least = parts.limits.trace_least
        self._term = parts.lease.term
        self._may_send = parts.lease.held
        self.may_write = partial(parts.lease.holds, self._term)
        self._begun: list[ClaimedRun] = []
        self._plain: dict[str, Plain] = {}

    def launch(self, held: HeldRun) -> bool:
        """Start an attempt; False where it has to take the longer way."""
        claim, prepared = held.claim, held.job.prepared
        route = prepared.route
        if (
            route is None
            or claim.overrides is not None
            or claim.started_at is not None
            or not self._may_send
        ):
            return False
        plain = self._plain.get(prepared.partition) or self._plain_of(prepared.partition)
        signers = plain.signers if prepared.signed else ()
        if signers is None or plain.narrowed:
            return False
        started_ms = self._now_ms()
        trace = attempt_traceparent(claim.id, claim.attempt, self._trace_least)
        try:
            message = payload(prepared, claim, now_ms=started_ms, trace=trace, signers=signers)
        except Exception:  # noqa: BLE001 - the longer way finds the same, and says what it means
            return False
        self._begun.append(claim)
        held.term = self._term
        held.task = flight = Flight(self, held, message, started_ms)
        try:
            self._submit(flight, route)
        except Exception as error:  # noqa: BLE001 - part of the one broad catch around a dispatch
            flight.answer(self.fault(held, error))
        return True

    def tell(self) -> None:
        """Say what has begun, once all of it is on its way: before any end of it can be told."""
        begun, self._begun = self._begun, []
        if begun:
            self._parts.on_events(EventName.RUN_STARTED, begun, started_fields)

    def _submit(self, flight: Flight, route: Route) -> None:
        origin = self.sender.origin(route.key, self.loop)
        if origin is None:
            flight.answer(flight.failed("connect_error", CLOSED))
            return
        flight.origin = origin
        if origin.submit(flight):
            flight.answer(None)

    def _plain_of(self, namespace: str) -> "Plain":
        """Look once what holds for all that a namespace sends in this volley."""
        found = self._plain[namespace] = Plain(
            self._parts.secrets.signers_at_hand(namespace),
            self._parts.namespaces.egress(namespace) is not None,
        )
        return found

    def landed(self, flight: Flight, said: Exchange | Withheld) -> None:
        """Put an end into the outbox; nothing escapes, for it is the loop that calls."""
        held, parts = flight.held, self._parts
        if isinstance(said, Withheld):
            self._outbox.unsendable(held)
            return
        try:
            now_ms = self._now_ms()
            # A fault of ours says nothing of the target.
            ours = said.error is judged.INTERNAL
            good = None if ours else weigh(said.outcome, said.status_code)
            if good is False and judged.stood_still(parts, held, said):
                good = None
            started_ms = flight.started_ms
            if parts.pressure.note(held, good=good, started_ms=started_ms, now_ms=now_ms):
                parts.to_claim.ring()
            ended = judged.ended(parts, held, said, started_ms, now_ms)
        except Exception as error:  # noqa: BLE001 - part of the one broad catch around a dispatch
            ended = judged.ended(parts, held, self.fault(held, error), flight.started_ms)
        self._outbox.put(ended)

    def cut_off(self, flight: Flight) -> None:
        """Settle what someone asked to cancel; what the drain cut off is rescued."""
        held = flight.held
        if not held.cancelled:
            return
        judged.note(self._parts, held, None, flight.started_ms)
        cut = Exchange("connect_error", error=judged.ON_REQUEST)
        self._outbox.put(judged.ended(self._parts, held, cut, flight.started_ms))

    def fault(self, held: HeldRun, error: Exception) -> Exchange:
        """Tell of a fault of ours, and return what it settles as."""
        self._parts.on_event(EventName.TICK_FAILED, run_id=held.claim.id, error=repr(error))
        return Exchange("protocol_error", error=judged.INTERNAL)
