"""Where spans go: to the collector of the settings, or nowhere."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from scheduler_svc.domain.events import OnEvent
from scheduler_svc.domain.spans import OnSpan
from scheduler_svc.service.connect import CanNotStart
from scheduler_svc.settings import Settings
from scheduler_svc.telemetry.traces import ExtraMissing, tracing


@asynccontextmanager
async def spans_to(settings: Settings, on_event: OnEvent) -> AsyncIterator[OnSpan | None]:
    """Send spans while the block runs; None where nobody wants them."""
    try:
        async with tracing(
            settings.trace_url,
            version=version("scheduler-svc"),
            replica=f"{socket.gethostname()}:{os.getpid()}",
            on_event=on_event,
        ) as on_span:
            yield on_span
    except ExtraMissing as missing:
        raise CanNotStart(str(missing)) from missing
