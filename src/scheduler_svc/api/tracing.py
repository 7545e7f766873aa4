"""The place of a request in a trace: what its caller sent, its own span, the runs it asked for.

Where nobody takes spans (`deps.on_span`), it only reads the trace's id, for the log.
"""

from uuid import UUID

import msgspec
from starlette.datastructures import Headers

from scheduler_svc.api.context import Access, Call, Deps, Trace
from scheduler_svc.domain import runs, spans
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.domain.spans import OnSpan, RunEnd, Span, SpanContext

NS = 1_000_000
SERVER_FAULT = 500
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by what watches: nobody looks for these in traces."""


def received(deps: Deps, headers: Headers) -> Trace | None:
    """Take up the trace of the caller, or begin one where somebody traces."""
    given = headers.getlist("traceparent")
    parent = spans.read_traceparent(given[0]) if len(given) == 1 else None
    if deps.on_span is None:
        return None if parent is None else Trace(parent)
    own = spans.begun(deps.random_bytes(spans.TRACE_BYTES), deps.trace_least)
    if parent is not None:
        own = SpanContext(parent.trace_id, own.span_id, parent.sampled)
    return Trace(own, parent)


def id_of(trace: Trace | None) -> str | None:
    """Return the trace's id as logs write it."""
    return None if trace is None else spans.trace_text(trace.context.trace_id)


def answered(deps: Deps, tell: OnSpan, trace: Trace, access: Access) -> None:
    """Tell of a request that was answered."""
    if not trace.context.sampled or access.route in QUIET:
        return
    end_ns = deps.now_ms() * NS
    named = f"{access.method} {access.route}" if access.route else access.method
    tell(
        Span(
            name=named,
            kind="server",
            context=trace.context,
            parent=trace.parent,
            start_ns=end_ns - int(access.duration_ms * NS),
            end_ns=end_ns,
            attributes={
                "http.request.method": access.method,
                "http.route": access.route,
                "http.response.status_code": access.status,
                "client.address": access.peer,
                "scheduler.request.id": access.request_id,
            },
            links=tuple(trace.links[: spans.LINKS_MAX]),
            error=str(access.status) if access.status >= SERVER_FAULT else None,
        )
    )


def asked_by(call: Call, overrides: Overrides | None) -> Overrides | None:
    """Note with a run who asked for it, where that is traced: the run's span will link to it."""
    if call.deps.on_span is None or call.trace is None or not call.trace.context.sampled:
        if overrides is None or overrides.request is None:
            return overrides
        return msgspec.structs.replace(overrides, request=None)  # the original's, of a replay
    request = spans.traceparent(call.trace.context)
    return msgspec.structs.replace(overrides or Overrides(), request=request)


def asked_for(call: Call, run_id: UUID) -> None:
    """Link the request's span to a run that it asked for."""
    if call.deps.on_span is not None and call.trace is not None:
        call.trace.links.append(spans.of_run(run_id, call.deps.trace_least))


def run_ended(deps: Deps, run: runs.Run) -> None:
    """Tell of a whole run that ended by a report of its target."""
    context = spans.of_run(run.id, deps.trace_least)
    if deps.on_span is None or not context.sampled or run.started_at is None:
        return
    end = RunEnd(
        run_id=run.id,
        job_id=run.job_id,
        trigger=run.trigger,
        status=run.status,
        reason=run.reason,
        attempts=run.attempt_count,
        start_ms=epoch_ms(run.started_at),
        end_ms=epoch_ms(run.finished_at) if run.finished_at else deps.now_ms(),
    )
    deps.on_span(spans.run_span(end, deps.trace_least))
