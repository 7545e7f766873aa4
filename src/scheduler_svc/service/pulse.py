"""Signs of life for those who watch from outside: systemd, and a dead man's switch.

Promises that they are given only while this replica's own loop goes round, so that silence is the
alarm; and that neither a watcher that does not answer nor its absence delays or ends anything.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from scheduler_svc.delivery.exchange import HttpRequest
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import EventName, OnEvent
from scheduler_svc.domain.url import parse_url
from scheduler_svc.engine.run import Engine
from scheduler_svc.service.readiness import engine_check

PING_SECONDS = 10.0
WATCHDOG_SHARE = 3
"""Three signs within the time after which systemd takes the process for dead."""
MICROSECONDS = 1_000_000


def turns(engine: Engine) -> bool:
    """Tell whether the loop goes round; one that waits for the database does."""
    waiting = engine.pace.away or not engine.parts.lease.held
    return waiting or engine_check(engine).status == "ok"


def fires(engine: Engine) -> bool:
    """Tell whether this replica would send what is due now."""
    return engine.parts.lease.held and engine_check(engine).status == "ok"


@asynccontextmanager
async def signs(
    engine: Engine, *, ping_url: str | None, ping_every: float, on_event: OnEvent
) -> AsyncIterator[None]:
    """Give the signs that were asked for while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        given = [tasks.create_task(_watchdog(engine), name="watchdog")]
        if ping_url is not None:
            pinging = _pings(engine, ping_url, every=ping_every, on_event=on_event)
            given.append(tasks.create_task(pinging, name="pings"))
        notify("READY=1")
        try:
            yield
        finally:
            notify("STOPPING=1")
            for task in given:
                task.cancel()


def notify(state: str) -> None:
    """Tell systemd, where it started us and listens (sd_notify(3))."""
    if not (address := os.environ.get("NOTIFY_SOCKET")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.settimeout(0)
        sending.sendto(state.encode(), address)


async def _watchdog(engine: Engine) -> None:
    """Stroke the watchdog while the loop goes round (sd_watchdog_enabled(3))."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        if turns(engine):
            notify("WATCHDOG=1")
        await asyncio.sleep(int(usec) / MICROSECONDS / WATCHDOG_SHARE)


async def _pings(engine: Engine, address: str, *, every: float, on_event: OnEvent) -> None:
    """Ask the address at its pace, for as long as this replica would send what is due."""
    url = parse_url(address)
    # The operator's own choice: the guard is for what callers of the API choose.
    anywhere = ["0.0.0.0/0", "::/0", *([] if url.literal else [url.host])]
    sender = Sender(egress=EgressRules.parse(allow=anywhere), connections_per_origin=1)
    request = HttpRequest(
        method="GET",
        url=url,
        headers=[(b"user-agent", b"scheduler-svc")],
        body=b"",
        connect_timeout=PING_SECONDS,
        first_byte_timeout=PING_SECONDS,
        total_timeout=PING_SECONDS,
    )
    failed = False
    try:
        while True:
            if fires(engine):
                answer = await sender.send(request)
                status = answer.status_code
                good = status is not None and status < 400  # noqa: PLR2004 - an answer that accepts
                if failed == good:  # said when it changes, not at each ping
                    failed = not good
                    name = EventName.PING_FAILED if failed else EventName.PING_BACK
                    on_event(name, outcome=answer.outcome, status_code=status)
            await asyncio.sleep(every)
    finally:
        await sender.close()
