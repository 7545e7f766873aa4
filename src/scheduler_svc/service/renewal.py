"""The renewal of our certificate while we serve: looks at its files, and at the time it has left.

Promises a look each `tls_reload` and at once when told (SIGHUP), an event for what became of new
files, and a warning a day while the end is near. Will not end anything: the old one
goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from scheduler_svc.domain.events import EventName, OnEvent
from scheduler_svc.service.certificate import DAY_SECONDS, Certificate, CertificateRefused


@asynccontextmanager
async def renewing(
    certificate: Certificate | None, told: asyncio.Event, *, every: float, on_event: OnEvent
) -> AsyncIterator[None]:
    """Keep the certificate up to its files while the block runs; `told` is the order to look."""
    if certificate is None:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(certificate, told, every, on_event), name="renewal")
        warning = tasks.create_task(_warn(certificate, on_event), name="expiry")
        try:
            yield
        finally:
            looking.cancel()
            warning.cancel()


async def _look(
    certificate: Certificate, told: asyncio.Event, every: float, on_event: OnEvent
) -> None:
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(every):
                await told.wait()
        ordered = told.is_set()
        told.clear()
        if certificate.has_moved() or ordered:
            await renew(certificate, on_event)


async def renew(certificate: Certificate, on_event: OnEvent) -> None:
    """Take what the files hold now, or say why not."""
    try:
        pair = await asyncio.to_thread(certificate.read)
    except CertificateRefused as refused:
        told = certificate.expires_at
        on_event(EventName.CERTIFICATE_REFUSED, error=str(refused), expires_at=told)
        return
    certificate.take(pair)  # here, where handshakes are made: the context is not for two threads
    on_event(EventName.CERTIFICATE_LOADED, expires_at=certificate.expires_at)


async def _warn(certificate: Certificate, on_event: OnEvent) -> None:
    while True:
        if certificate.is_expiring():
            days = round(certificate.seconds_left() / DAY_SECONDS, 1)
            on_event(EventName.CERTIFICATE_EXPIRING, expires_at=certificate.expires_at, days=days)
        await asyncio.sleep(DAY_SECONDS)
