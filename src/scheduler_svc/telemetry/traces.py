"""Spans to a collector, as OTLP over HTTP, in batches, from a thread of their own.

Promises that whoever tells of a span is never delayed: it is put on a queue that has a bound, and
dropped where that is full. A collector that is away is an event, once, and nothing else. What the
extra `tracing` brings is imported only where it is asked for, and in this file alone.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from scheduler_svc.domain.events import EventName, OnEvent
from scheduler_svc.domain.spans import OnSpan, Span, SpanContext

QUEUE_MAX = 8192
BATCH_MAX = 256
"""Encoding holds the interpreter, so it is done in pieces that no timer feels."""
EVERY_SECONDS = 1.0
EXPORT_SECONDS = 5.0
"""What one batch may take, with what the exporter tries again."""
LEAVE_SECONDS = 2.0
PATH = "/v1/traces"
LIBRARY = "opentelemetry"

Export = Callable[[Sequence[Any]], bool]


class ExtraMissing(Exception):
    """What sends spans is not installed."""

    def __str__(self) -> str:
        return (
            "SCHEDULER_TRACE_URL needs what is not installed:"
            " pip install 'scheduler-svc[tracing]', or remove the setting"
        )


@asynccontextmanager
async def tracing(
    url: str | None, *, version: str, replica: str, on_event: OnEvent
) -> AsyncIterator[OnSpan | None]:
    """Send spans while the block runs; None where no collector is named. Raises ExtraMissing."""
    if url is None:
        yield None
        return
    loop = asyncio.get_running_loop()

    def say(name: EventName, /, **fields: object) -> None:
        loop.call_soon_threadsafe(lambda: on_event(name, **fields))

    try:
        exporter = _Exporter(url, version=version, replica=replica)
    except ImportError as error:
        raise ExtraMissing from error
    batches = Batches(exporter.export, error=exporter.error, on_event=say)
    try:
        yield batches.put
    finally:
        await asyncio.to_thread(batches.leave, LEAVE_SECONDS)
        await asyncio.to_thread(exporter.close)


class Batches:
    """A bounded queue, and the thread that empties it."""

    def __init__(
        self,
        export: Callable[[Sequence[Span]], bool],
        *,
        error: Callable[[], str],
        on_event: OnEvent,
    ) -> None:
        self._export, self._error, self._on_event = export, error, on_event
        self._queue: deque[Span] = deque()
        self._wake, self._leaving = threading.Event(), threading.Event()
        self._dropped, self._failed = 0, False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span, or drop it; called from the loop alone."""
        if len(self._queue) >= QUEUE_MAX:
            self._dropped += 1
            return
        self._queue.append(span)
        if len(self._queue) >= BATCH_MAX and not self._wake.is_set():
            self._wake.set()

    def leave(self, seconds: float) -> None:
        """Send what is there, for so long, and end."""
        self._leaving.set()
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            # A collector that refuses is asked each second, however many spans there are.
            (self._leaving if self._failed else self._wake).wait(EVERY_SECONDS)
            self._wake.clear()
            leaving = self._leaving.is_set()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
                self._judge(sent=self._export(batch), size=len(batch))
                if self._failed:
                    break  # what is left waits its second, and is bounded
            if leaving:
                return

    def _judge(self, *, sent: bool, size: int) -> None:
        if not sent:
            self._dropped += size
        if self._failed == sent:  # said when it changes, not at each batch
            self._failed = not sent
            if sent:
                self._on_event(EventName.TRACE_BACK, dropped=self._dropped)
                self._dropped = 0
            else:
                self._on_event(EventName.TRACE_FAILED, error=self._error(), dropped=self._dropped)


class _Exporter:
    """The exporter of OpenTelemetry, and what it last complained of."""

    def __init__(self, url: str, *, version: str, replica: str) -> None:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import export  # noqa: PLC0415

        self._complaints = _Complaints()
        logger = logging.getLogger(LIBRARY)
        # Its warnings come with each try; of a collector that is away one event is enough.
        logger.handlers, logger.propagate = [self._complaints], False
        self._exporter = trace_exporter.OTLPSpanExporter(
            endpoint=endpoint(url), timeout=EXPORT_SECONDS
        )
        own = {
            "service.name": "scheduler-svc",
            "service.version": version,
            "service.instance.id": replica,
        }
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, where they are set, win.
        given = OTELResourceDetector().detect().attributes
        self._resource = Resource.create({k: v for k, v in own.items() if k not in given})
        self._well = export.SpanExportResult.SUCCESS

    def export(self, spans: Sequence[Span]) -> bool:
        """Send a batch; tell whether it was taken."""
        try:
            made = [_readable(span, self._resource) for span in spans]
            return self._exporter.export(made) is self._well
        except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
            self._complaints.last = repr(error)
            return False

    def error(self) -> str:
        """Return what it last complained of."""
        return self._complaints.last

    def close(self) -> None:
        """Cut off what may still be under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Complaints(logging.Handler):
    """Keeps the last thing that a library had to say."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def endpoint(url: str) -> str:
    """Complete an address that names only the collector."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=PATH)) if parts.path in {"", "/"} else url


def _readable(span: Span, resource: Any) -> Any:
    """Make a span as the SDK's exporter takes it."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415

    failed = trace.Status(trace.StatusCode.ERROR, span.error) if span.error is not None else None
    return ReadableSpan(
        name=span.name,
        context=_context(span.context),
        parent=None if span.parent is None else _context(span.parent, remote=span.kind == "server"),
        resource=resource,
        attributes={name: value for name, value in span.attributes.items() if value is not None},
        links=[trace.Link(_context(link, remote=True)) for link in span.links],
        kind=trace.SpanKind[span.kind.upper()],
        status=failed or trace.Status(trace.StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.end_ns,
    )


def _context(context: SpanContext, *, remote: bool = False) -> Any:
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else 0)
    return trace.SpanContext(context.trace_id, context.span_id, remote, flags)
