"""Spans leave in batches, to a collector that may be away, and nobody waits for them."""

import asyncio
import sys
import threading
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import pytest

from otlp import attributes, collecting
from scheduler_svc.domain.events import EventName, ignore
from scheduler_svc.domain.spans import Span, SpanContext
from scheduler_svc.telemetry import traces
from scheduler_svc.telemetry.traces import Batches, ExtraMissing, endpoint, tracing

WHOLE = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 1, sampled=True)


def a_span(number: int = 2, **changes: Any) -> Span:
    given: dict[str, Any] = {
        "name": "attempt",
        "kind": "client",
        "context": SpanContext(WHOLE.trace_id, number, sampled=True),
        "parent": WHOLE,
        "start_ns": 1_764_000_000_000_000_000,
        "end_ns": 1_764_000_000_002_500_000,
        "attributes": {"http.response.status_code": 503, "left.out": None, "scheduler.job.id": "j"},
        "links": (SpanContext(9, 8, sampled=True),),
        "error": "http_error",
    }
    return Span(**given | changes)


async def test_a_collector_gets_each_span_as_it_was_told() -> None:
    async with collecting() as collector:
        async with tracing(collector.url, version="1.2.3", replica="h:1", on_event=ignore) as put:
            assert put is not None
            put(a_span())
            put(a_span(3, name="run", kind="internal", parent=None, links=(), error=None))
        # Leaving sends what is there.
        (span,), (whole,) = collector.named("attempt"), collector.named("run")
    assert span.trace_id.hex() == f"{WHOLE.trace_id:032x}"
    assert (span.span_id.hex(), span.parent_span_id.hex()) == ("0" * 15 + "2", "0" * 15 + "1")
    assert span.kind == span.SPAN_KIND_CLIENT
    assert whole.kind == span.SPAN_KIND_INTERNAL
    assert whole.parent_span_id == b""
    assert span.end_time_unix_nano - span.start_time_unix_nano == 2_500_000
    assert attributes(span) == {"http.response.status_code": 503, "scheduler.job.id": "j"}
    assert [(link.trace_id[-1], link.span_id[-1]) for link in span.links] == [(9, 8)]
    assert (span.status.code, span.status.message) == (span.status.STATUS_CODE_ERROR, "http_error")
    assert whole.status.code == span.status.STATUS_CODE_UNSET
    (resource, *_) = collector.resources
    assert resource["service.name"] == "scheduler-svc"
    assert resource["service.version"] == "1.2.3"
    assert resource["service.instance.id"] == "h:1"


async def test_what_the_environment_says_of_the_service_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,deployment.environment=test")
    async with collecting() as collector:
        async with tracing(collector.url, version="1", replica="h:1", on_event=ignore) as put:
            assert put is not None
            put(a_span())
        (resource,) = collector.resources
    assert (resource["service.name"], resource["deployment.environment"]) == ("mine", "test")
    assert resource["service.version"] == "1"


async def test_a_collector_that_is_away_and_back_is_told_once_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "EVERY_SECONDS", 0.05)
    told: list[tuple[EventName, dict[str, object]]] = []
    news = asyncio.Event()

    def hear(name: EventName, /, **fields: object) -> None:
        told.append((name, fields))
        news.set()

    async with collecting() as collector:
        collector.status = 400  # refused for good: nothing of the batch is tried again
        async with tracing(collector.url, version="1", replica="h:1", on_event=hear) as put:
            assert put is not None
            put(a_span())
            async with asyncio.timeout(10):
                await news.wait()
            put(a_span())
            while collector.asked < 2:  # noqa: ASYNC110 - the collector's, with no event of its own
                await asyncio.sleep(0.01)
            news.clear()
            collector.status = 200
            put(a_span(7))
            async with asyncio.timeout(10):
                await news.wait()
    (failed, why), (back, dropped) = told
    assert (failed, back) == (EventName.TRACE_FAILED, EventName.TRACE_BACK)
    assert "400" in str(why["error"])
    assert dropped == {"dropped": 2}
    assert [span.span_id[-1] for span in collector.spans] == [7]


async def test_telling_a_span_never_waits_and_what_finds_no_room_is_dropped() -> None:
    entered, free = threading.Event(), threading.Event()
    told: list[dict[str, object]] = []
    sent: list[int] = []

    def export(batch: Sequence[Span]) -> bool:
        entered.set()
        free.wait(20)
        sent.append(len(batch))
        return len(sent) > 1

    def hear(_name: EventName, /, **fields: object) -> None:
        told.append(fields)

    batches = Batches(export, error=lambda: "stuck", on_event=hear)
    for _ in range(traces.BATCH_MAX):
        batches.put(a_span())
    assert await asyncio.to_thread(entered.wait, 10)
    began = perf_counter()
    for _ in range(traces.QUEUE_MAX + 500):
        batches.put(a_span())
    assert perf_counter() - began < 2.0  # it waits for nothing that the exporter does
    free.set()
    await asyncio.to_thread(batches.leave, 20)
    assert told[0] == {"error": "stuck", "dropped": 500 + traces.BATCH_MAX}
    assert sum(sent) == traces.QUEUE_MAX + traces.BATCH_MAX
    assert max(sent) == traces.BATCH_MAX


async def test_leaving_waits_no_longer_than_it_was_told_to() -> None:
    free = threading.Event()

    def export(_batch: Sequence[Span]) -> bool:
        return free.wait(30)

    batches = Batches(export, error=str, on_event=ignore)
    batches.put(a_span())
    began = perf_counter()
    await asyncio.to_thread(batches.leave, 0.2)
    assert perf_counter() - began < 5
    free.set()


async def test_without_a_collector_nothing_is_made_and_nothing_is_imported() -> None:
    before = set(sys.modules)
    async with tracing(None, version="1", replica="h:1", on_event=ignore) as put:
        assert put is None
    assert {name for name in set(sys.modules) - before if name.startswith("opentelemetry")} == set()


async def test_what_is_not_installed_is_said_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(ExtraMissing) as missing:
        async with tracing("http://127.0.0.1:1", version="1", replica="h", on_event=ignore):
            pass
    assert "scheduler-svc[tracing]" in str(missing.value)


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ("http://otel:4318", "http://otel:4318/v1/traces"),
        ("https://otel:4318/", "https://otel:4318/v1/traces"),
        ("https://vendor.example/otlp/v1/traces?x=1", "https://vendor.example/otlp/v1/traces?x=1"),
    ],
)
def test_an_address_that_names_only_the_collector_is_completed(given: str, completed: str) -> None:
    assert endpoint(given) == completed
