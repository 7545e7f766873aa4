"""Sending: held runs go out at their instant, no transaction open, the lease checked before each.

Most attempts are flights, which are told of their end; what needs something looked up first is a
task of the engine's group. Nothing escapes either: a fault of the network is an outcome, and a
fault of ours settles the attempt like one, so that the run is retried or ends.
"""

import asyncio
from functools import partial
from uuid import UUID

from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.delivery.request import Sending
from scheduler_svc.domain.completion import report_to
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.outcome import Retryable
from scheduler_svc.domain.spans import attempt_traceparent
from scheduler_svc.engine import bounds, judged, outgoing
from scheduler_svc.engine.ended import Ended
from scheduler_svc.engine.flight import Volley, started_fields
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.settle import Outbox


async def run(parts: Parts, outbox: Outbox, tasks: asyncio.TaskGroup) -> None:
    """Start what is due, then sleep until the next instant; for ever."""
    while True:
        parts.to_send.clear()
        start_due(parts, outbox, tasks)
        next_ms = parts.hand.next_fire_ms
        await parts.to_send.wait(None if next_ms is None else parts.clock.seconds_until(next_ms))


def start_due(parts: Parts, outbox: Outbox, tasks: asyncio.TaskGroup) -> None:
    """Start an attempt for each held run whose instant has come."""
    due = parts.hand.pop_due(parts.clock.now_ms())
    if not due:
        return
    volley = Volley(parts, outbox, tasks)
    for held in due:
        if volley.launch(held):
            continue
        held.task = task = tasks.create_task(attempt(parts, outbox, held))
        task.add_done_callback(partial(_unstarted, parts, outbox, held))
    volley.tell()


async def attempt(parts: Parts, outbox: Outbox, held: HeldRun) -> None:
    """Make one attempt, if the lease holds, and hand its end to the outbox."""
    if not parts.lease.held:
        # Upkeep gives it back once the database is heard again.
        outbox.unsendable(held)
        return
    held.term = parts.lease.term
    started_ms = parts.clock.now_ms()
    claim = held.claim
    if (verdict := bounds.over(held.job.plan, claim, now_ms=started_ms)) is not None:
        judged.unsent(parts, held)
        outbox.put(Ended(held=held, verdict=verdict, started_ms=started_ms, ended_ms=started_ms))
        return
    parts.on_event(EventName.RUN_STARTED, **started_fields(claim))
    try:
        exchange = await _send(parts, held, started_ms)
    except asyncio.CancelledError:
        if not held.cancelled:
            raise
        exchange = Exchange("connect_error", error=judged.ON_REQUEST)
        judged.note(parts, held, None, started_ms)
    except outgoing.Unsent:
        # A probe among them is told when it is given back: not before, for by then another
        # replica may make it anew.
        outbox.unsendable(held)
        return
    except Exception as error:  # noqa: BLE001 - the one broad catch around a dispatch
        parts.on_event(EventName.TICK_FAILED, run_id=claim.id, error=repr(error))
        exchange = Exchange("protocol_error", error=judged.INTERNAL)
        judged.note(parts, held, None, started_ms)
    else:
        judged.note(parts, held, exchange, started_ms)
    outbox.put(judged.ended(parts, held, exchange, started_ms))


def _unstarted(parts: Parts, outbox: Outbox, held: HeldRun, task: asyncio.Task[None]) -> None:
    """Settle a run that was cancelled before its task took its first step."""
    if task.cancelled() and held.cancelled:
        judged.unsent(parts, held)
        now_ms = parts.clock.now_ms()
        outbox.put(Ended(held=held, verdict=Retryable(), started_ms=now_ms, ended_ms=now_ms))


def cancel(parts: Parts, outbox: Outbox, run_id: UUID) -> None:
    """End a held run that someone asked to cancel: cut it off, or never send it."""
    held = parts.hand.get(run_id)
    if held is None or held.cancelled:
        return
    held.cancelled = True
    if held.task is not None:
        held.task.cancel()
    elif not held.sending:
        parts.hand.withdraw([held])
        judged.unsent(parts, held)
        now_ms = parts.clock.now_ms()
        outbox.put(Ended(held=held, verdict=Retryable(), started_ms=now_ms, ended_ms=now_ms))


async def _send(parts: Parts, held: HeldRun, started_ms: int) -> Exchange:
    claim, job = held.claim, held.job
    report = None
    if job.plan.definition.target.completion == "callback":
        report = report_to(parts.callbacks, claim.id, claim.attempt)
        if report is None:
            return Exchange("blocked", error=f"a callback {parts.callbacks.fault}")
    sending = Sending(
        run_id=claim.id,
        job_id=claim.job_id,
        job_name=job.plan.definition.name,
        scheduled_ms=claim.scheduled_ms,
        attempt=claim.attempt,
        trigger=claim.trigger,
        now_ms=started_ms,
        trace=attempt_traceparent(claim.id, claim.attempt, parts.limits.trace_least),
        report=report,
    )
    return await outgoing.exchange(parts, held, sending)
