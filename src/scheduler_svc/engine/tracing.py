"""Spans of what the engine does: attempts, their settling, whole runs, and passes that claimed.

Called only where somebody takes spans (`parts.on_span`), and makes them only of sampled traces. All
are made after the fact: an attempt that is under way costs nothing and waits for nothing.
"""

from collections.abc import Mapping
from uuid import UUID

from scheduler_svc.delivery.record import Record
from scheduler_svc.domain import spans
from scheduler_svc.domain.runs import UNFINISHED
from scheduler_svc.domain.spans import OnSpan, RunEnd, Span, SpanContext
from scheduler_svc.engine.ended import Ended, Settled
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store.settlements import Settlement

NS = 1_000_000


def settled(
    parts: Parts,
    tell: OnSpan,
    written: list[tuple[Ended, Settlement]],
    found: Mapping[UUID, Settled],
) -> None:
    """Tell of a batch of ends that was written."""
    now_ns = parts.clock.now_ms() * NS
    least = parts.limits.trace_least
    for ended, settlement in written:
        whole = spans.of_run(settlement.id, least)
        if not whole.sampled:
            continue
        became = found.get(settlement.id)
        if ended.record is not None:
            tell(_attempt(parts, ended, ended.record, whole))
        begun_ns = min(ended.ended_ms * NS, now_ns)
        tell(_settle(settlement, became, whole, (begun_ns, now_ns), len(written)))
        if became is not None and became[0] not in UNFINISHED:
            tell(_run(ended, became, now_ns // NS, least))


def passed(parts: Parts, tell: OnSpan, duration_ms: float) -> None:
    """Tell of a pass that claimed, by links: it is of many runs, so it is nobody's child."""
    claimed, parts.hand.claimed = parts.hand.claimed, []
    if not claimed:
        return
    contexts = (spans.of_run(run_id, parts.limits.trace_least) for run_id in claimed)
    links = tuple(context for context in contexts if context.sampled)
    if not links:
        return
    own = spans.begun(parts.random_bytes(spans.TRACE_BYTES), 0)
    now_ns = parts.clock.now_ms() * NS
    tell(
        Span(
            name="claim",
            context=own,
            start_ns=now_ns - int(duration_ms * NS),
            end_ns=now_ns,
            attributes={
                "scheduler.replica.id": str(parts.replica),
                "scheduler.claim.runs": len(claimed),
                "scheduler.claim.runs_sampled": len(links),
            },
            links=links[: spans.LINKS_MAX],
        )
    )


def _attempt(parts: Parts, ended: Ended, record: Record, whole: SpanContext) -> Span:
    claim, job = ended.held.claim, ended.held.job
    url = job.prepared.url
    start_ns = ended.started_ms * NS
    return Span(
        name="attempt",
        kind="client",
        context=spans.of_attempt(claim.id, claim.attempt, parts.limits.trace_least),
        parent=whole,
        start_ns=start_ns,
        end_ns=start_ns + int(record.duration_ms * NS),
        attributes={
            # Not the path and not the query: they may hold what is secret.
            "http.request.method": job.prepared.method,
            "server.address": url.host,
            "server.port": url.port,
            "http.response.status_code": record.status_code,
            "http.request.resend_count": claim.attempt - 1 or None,
            "error.type": None if record.outcome == "ok" else record.outcome,
            "scheduler.run.id": str(claim.id),
            "scheduler.job.id": str(claim.job_id),
            "scheduler.job.name": job.plan.definition.name,
            "scheduler.run.trigger": claim.trigger,
            "scheduler.attempt.number": claim.attempt,
            "scheduler.attempt.outcome": record.outcome,
            "scheduler.lateness_ms": (
                ended.started_ms - claim.scheduled_ms if claim.attempt == 1 else None
            ),
            "scheduler.replica.id": str(parts.replica),
        },
        error=None if record.outcome == "ok" else record.error or record.outcome,
    )


def _settle(
    settlement: Settlement,
    became: Settled | None,
    whole: SpanContext,
    instants_ns: tuple[int, int],
    batch: int,
) -> Span:
    return Span(
        name="settle",
        context=spans.of_settle(settlement.id, settlement.attempt, 0),
        parent=whole,
        start_ns=instants_ns[0],
        end_ns=instants_ns[1],
        attributes={
            "scheduler.run.id": str(settlement.id),
            "scheduler.run.status": settlement.status if became is None else became[0],
            "scheduler.run.reason": settlement.reason if became is None else became[1],
            "scheduler.settle.batch": batch,
            "scheduler.settle.superseded": True if became is None else None,
        },
        error="another replica had taken the run over" if became is None else None,
    )


def _run(ended: Ended, became: Settled, now_ms: int, least: int) -> Span:
    claim = ended.held.claim
    end = RunEnd(
        run_id=claim.id,
        job_id=claim.job_id,
        trigger=claim.trigger,
        status=became[0],
        reason=became[1],
        attempts=claim.attempt,
        start_ms=ended.first_ms,
        end_ms=now_ms,
        request=None if claim.overrides is None else claim.overrides.request,
    )
    return spans.run_span(end, least)
