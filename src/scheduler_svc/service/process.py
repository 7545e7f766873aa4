"""The process: builds everything, owns the signals, and ends as one.

The engine runs beside the server, not in its lifespan: a loop that dies there leaves a server that
answers 200 with nothing behind it. Here the end of either ends the other, and the exit code says
which way. The wiring is `_run`, read from top to bottom.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import uvicorn
import uvloop

from scheduler_svc.api.app import build_app
from scheduler_svc.domain.events import EventName, OnEvent, OnEvents
from scheduler_svc.engine import run as engine_run
from scheduler_svc.service import assembly
from scheduler_svc.service.broadcast import Broadcast, broadcasting
from scheduler_svc.service.certificate import (
    Certificate,
    CertificateRefused,
    certificate_of,
)
from scheduler_svc.service.connect import CanNotStart
from scheduler_svc.service.connection import Bounds
from scheduler_svc.service.database import database
from scheduler_svc.service.lifeline import Lifeline
from scheduler_svc.service.linger import Farewell
from scheduler_svc.service.pages import pages_of
from scheduler_svc.service.pulse import signs
from scheduler_svc.service.renewal import renewing
from scheduler_svc.service.server import BACKLOG, Server
from scheduler_svc.service.siblings import Siblings, gathering
from scheduler_svc.service.sql_requests import carrying_out
from scheduler_svc.settings import Settings
from scheduler_svc.store import embedded
from scheduler_svc.telemetry import logs
from scheduler_svc.telemetry.events import emit, fan_out, fan_out_all
from scheduler_svc.telemetry.sampling import Sampled
from scheduler_svc.telemetry.tally import Tally

OK, FAILED, REFUSED = 0, 1, 2
COLLECT_EVERY = (50_000, 20, 50)
"""Allocations between two collections of the young, and how many of those make an older one."""
FAREWELL_SECONDS = 1.0
"""The last part of the linger time: the port is closed, who was let in before is still heard."""


def serve(
    settings: Settings, lifeline: Lifeline | None = None, siblings: Siblings | None = None
) -> int:
    """Run one replica until told to stop, or its starter is gone; return the exit code."""
    logs.configure(style=settings.log_format, level=settings.log_level)
    try:
        certificate = certificate_of(settings)
        with _listening(settings) as listening, database(settings) as dsn:
            return uvloop.run(
                _run(
                    settings,
                    dsn,
                    listening,
                    certificate=certificate,
                    lifeline=lifeline,
                    siblings=siblings,
                )
            )
    except (embedded.EmbeddedRefused, CanNotStart, CertificateRefused) as refused:
        print(f"scheduler-svc: {refused}", file=sys.stderr)  # noqa: T201 - before there is a log
        return REFUSED


async def _run(
    settings: Settings,
    dsn: str,
    listening: socket.socket,
    *,
    certificate: Certificate | None,
    lifeline: Lifeline | None,
    siblings: Siblings | None,
) -> int:
    stop, reload = asyncio.Event(), asyncio.Event()
    _on_signals(stop, None if certificate is None else reload)
    if lifeline is not None:
        lifeline.on_end(stop)
    host, port = listening.getsockname()[:2]
    tally = Tally(jobs_max=settings.metrics_jobs_max)
    broadcast = Broadcast()
    tell, tell_all = _tellers(settings, tally, broadcast)
    async with assembly.assembled(
        settings,
        dsn,
        own=(host, port),
        on_event=tell,
        on_events=tell_all,
        stop=stop,
        tally=tally,
        broadcast=broadcast,
    ) as built:
        if built is None:
            return OK  # told to stop while the database was awaited
        if certificate is not None:
            built.scrape.certificate_ends = certificate.ends_at
        async with (
            renewing(certificate, reload, every=settings.tls_reload, on_event=tell),
            gathering(built.scrape, siblings),
            broadcasting(broadcast, built.deps, stop, listens=settings.listen),
            carrying_out(settings, built.deps, broadcast.asked),
            signs(
                built.engine,
                ping_url=settings.ping_url,
                ping_every=settings.ping_every,
                on_event=tell,
            ),
        ):
            fault = await _serve_built(
                settings, built, listening, stop, certificate=certificate, lifeline=lifeline
            )
    code = OK if fault is None else FAILED
    emit(EventName.SERVICE_STOPPED, code=code, error=None if fault is None else repr(fault))
    return code


def _tellers(settings: Settings, tally: Tally, broadcast: Broadcast) -> tuple[OnEvent, OnEvents]:
    """Return who is told of an event, and of several at once: the log, metrics, the stream."""
    log = Sampled(emit, most=settings.log_successes_max, monotonic=time.monotonic)
    return (
        fan_out(tally.hear, broadcast.hear, log=log),
        fan_out_all(tally.hear_all, broadcast.hear_all, log=log),
    )


async def _serve_built(
    settings: Settings,
    built: assembly.Built,
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    certificate: Certificate | None,
    lifeline: Lifeline | None,
) -> BaseException | None:
    """Let callers in, say so, and work until the end; return what went wrong."""
    host, port = listening.getsockname()[:2]
    server = Server(
        Farewell(build_app(built.deps, pages=pages_of(built.deps)), stop),
        certificate,
        Bounds(connections_max=settings.connections_max),
        farewell_seconds=min(FAREWELL_SECONDS, settings.linger / 2),
    )
    _open(listening)
    if lifeline is not None:
        lifeline.say_serving()
    else:
        say(greeting(settings, host, port))
    built.deps.on_event(EventName.SERVICE_STARTED, host=host, port=port, role=settings.role)
    _settle_garbage_collector()
    return await _both(server, built.engine, listening, stop, linger=settings.linger)


def _settle_garbage_collector() -> None:
    """Leave what start-up made out of every later collection, and collect less often.

    Runs, calls and rows are freed by their counts; what the collector looks for is rare here, and
    its default pace had it walk over all known jobs several times in a burst (`bench/burst.py`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)


async def _both(
    server: Server,
    engine: engine_run.Engine,
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    linger: float,
) -> BaseException | None:
    """Run the server and the engine until one ends or both are told to; return what went wrong."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_serve(server, listening, stop), name="server")
            both.create_task(_work(engine, stop), name="engine")
            both.create_task(_stop_server(server, stop, linger=linger), name="stop")
    except BaseExceptionGroup as errors:
        return _first(errors)
    return None


def _first(error: BaseException) -> BaseException:
    """Return the first leaf of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _serve(server: uvicorn.Server, listening: socket.socket, stop: asyncio.Event) -> None:
    """Answer requests; the server's end, wanted or not, ends the engine."""
    try:
        await server.serve(sockets=[listening])
    finally:
        stop.set()


async def _work(engine: engine_run.Engine, stop: asyncio.Event) -> None:
    """Run the engine; its end, wanted or not, ends the server."""
    try:
        await engine_run.run(engine, stop)
    finally:
        stop.set()


async def _stop_server(server: Server, stop: asyncio.Event, *, linger: float) -> None:
    await stop.wait()
    await asyncio.sleep(linger - server.farewell_seconds)
    server.end()


def _on_signals(stop: asyncio.Event, reload: asyncio.Event | None) -> None:
    """Let signals be orders; without a certificate SIGHUP is what it always was, the end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, reload.set)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Take the port before anything else starts, so that a port in use is said at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.workers > 1:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with listening:
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            raise _refused(f"{settings.host}:{settings.port}", error) from error
        yield listening


def _open(listening: socket.socket) -> None:
    """Let callers in from here on: they wait for uvicorn, and are no longer turned away."""
    try:
        listening.listen(BACKLOG)
    except OSError as error:
        host, port = listening.getsockname()[:2]
        raise _refused(f"{host}:{port}", error) from error


def _refused(where: str, error: OSError) -> CanNotStart:
    return CanNotStart(f"can not listen on {where}: {error.strerror}")


def say(line: str) -> None:
    """Write one line at once: replicas share the stream, and log to it at the same moment."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def greeting(settings: Settings, host: str, port: int) -> str:
    """Say in one line where everything is."""
    shown = f"[{host}]" if ":" in host else host
    base = f"http{'' if settings.tls_cert is None else 's'}://{shown}:{port}"
    if settings.database_url is None:
        data = str(Path(settings.data_dir).resolve())
    else:
        data = assembly.masked(settings.database_url)
    replicas = f", {settings.workers} replicas" if settings.workers > 1 else ""
    return (
        f"scheduler-svc {version('scheduler-svc')} ({settings.profile} profile{replicas}):"
        f" API {base}/jobs, docs {base}/docs, dashboard {base}/, data in {data}"
    )
