"""A collector of spans on loopback: takes OTLP over HTTP, parsed by the protocol's own types.

It knows nothing of the service. `status` is what it answers, so that it can be made to refuse.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from receiver import Received, Wire, answer, receiving

TYPE = {"Content-Type": "application/x-protobuf"}


class Collector:
    """What has arrived."""

    def __init__(self) -> None:
        self.status = 200
        self.url = ""
        self.asked = 0
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self._news = asyncio.Condition()

    async def take(self, wire: Wire, received: Received) -> None:
        self.asked += 1
        if self.status == 200:
            packed = received.headers.get("content-encoding") == "gzip"
            body = gzip.decompress(received.body) if packed else received.body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes(resource.resource))
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
        await answer(self.status, ExportTraceServiceResponse().SerializeToString(), TYPE)(
            wire, received
        )
        async with self._news:
            self._news.notify_all()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    async def until(self, name: str, count: int, seconds: float = 60) -> list[Span]:
        """Wait for so many spans of a name."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.named(name)) >= count)
        return self.named(name)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Collect at /v1/traces until the block ends."""
    collector = Collector()
    async with receiving() as listening:
        listening.on("/v1/traces", collector.take)
        collector.url = listening.url("")
        yield collector


def attributes(of: Any) -> dict[str, Any]:
    """Return the attributes of a span or a resource as plain values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}
