"""Several replicas under one command: starts them, passes the order to stop on, ends as they end.

Promises one database for all, no replica left behind however this process ends, and a non-zero exit
code where a replica ended without being told. Restarts none: that is for what runs the command,
which sees the exit code and has the log.
"""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from typing import NamedTuple

from scheduler_svc.service.certificate import CertificateRefused, certificate_of
from scheduler_svc.service.database import database
from scheduler_svc.service.lifeline import SERVING
from scheduler_svc.service.process import FAILED, REFUSED, greeting, say
from scheduler_svc.service.server import SERVER_GRACE_SECONDS
from scheduler_svc.service.siblings import Hub
from scheduler_svc.settings import Settings
from scheduler_svc.store.embedded import EmbeddedRefused

MARGIN_SECONDS = 10.0
"""What a replica gets beyond its grace times before it is taken for stuck."""


class Kept(NamedTuple):
    """A replica that was started, and our ends of its lifeline and of what carries its figures."""

    process: Process
    lifeline: socket.socket
    figures: socket.socket


def serve(settings: Settings) -> int:
    """Run the replicas until told to stop or one ends; return the worst exit code."""
    if settings.port == 0:
        return _refuse("port 0 would give each replica a port of its own: name one")
    try:
        certificate_of(settings)  # said once, and not by each replica
        with database(settings) as dsn:
            return asyncio.run(_run(settings, dsn))
    except (EmbeddedRefused, CertificateRefused) as refused:
        return _refuse(str(refused))


def _refuse(reason: str) -> int:
    print(f"scheduler-svc: {reason}", file=sys.stderr)  # noqa: T201 - there is no log here
    return REFUSED


async def _run(settings: Settings, dsn: str) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        replicas = [await _start(settings, dsn) for _ in range(settings.workers)]
        if settings.tls_cert is not None:
            _pass_on(signal.SIGHUP, replicas)
        ends = [group.create_task(_see_out(one.process, stop)) for one in replicas]
        greeter = group.create_task(_greet(settings, replicas))
        hub = group.create_task(Hub([one.figures for one in replicas]).run())
        await stop.wait()
        greeter.cancel()
        hub.cancel()
        await _end(
            replicas, settings.grace_time + settings.linger + SERVER_GRACE_SECONDS + MARGIN_SECONDS
        )
    return max(end.result() for end in ends)


async def _start(settings: Settings, dsn: str) -> Kept:
    """Run the shipped command once more, as one of several.

    In a session of its own: Ctrl-C reaches this process alone, which passes it on once.
    """
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    hub, sibling = socket.socketpair()
    with theirs, sibling:
        number, figures = theirs.fileno(), sibling.fileno()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scheduler_svc", "serve"),
            *("--workers", str(settings.workers), "--role", settings.role),
            *("--lifeline", str(number), "--siblings", str(figures)),
            *(["--accept-drift"] if settings.accept_drift else []),
            pass_fds=[number, figures],
            env=os.environ | {"DATABASE_URL": dsn},
            start_new_session=True,
        )
    return Kept(process, ours, hub)


def _pass_on(number: signal.Signals, replicas: list[Kept]) -> None:
    """Give every replica this signal, whenever we get it: each has the certificate of its own."""

    def give() -> None:
        for one in replicas:
            if one.process.returncode is None:
                one.process.send_signal(number)

    asyncio.get_running_loop().add_signal_handler(number, give)


async def _see_out(process: Process, stop: asyncio.Event) -> int:
    """Await the end of a replica, which ends the others; one that nobody ordered is a failure."""
    code = await process.wait()
    told = stop.is_set()
    stop.set()
    return FAILED if code < 0 or not (told or code) else code


async def _greet(settings: Settings, replicas: list[Kept]) -> None:
    """Say where everything is once every replica serves."""
    for one in replicas:
        if await asyncio.get_running_loop().sock_recv(one.lifeline, 1) != SERVING:
            return
    where = settings.host, settings.port
    say(greeting(settings, *where))


async def _end(replicas: list[Kept], seconds: float) -> None:
    """Order all to stop, and stop by force what is stuck."""
    for one in replicas:
        if one.process.returncode is None:
            one.process.terminate()
    try:
        async with asyncio.timeout(seconds):
            for one in replicas:
                await one.process.wait()
    except TimeoutError:
        for one in replicas:
            if one.process.returncode is None:
                one.process.kill()
