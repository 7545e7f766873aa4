"""`receive`: a local receiver that prints what arrives, and answers as it is told to.

For trying things out: it listens on the loopback unless told otherwise, and keeps nothing.
"""

import asyncio
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from socket import gaierror

from scheduler_svc.cli.arrival import Arrival, as_json, as_text
from scheduler_svc.cli.command import FAILED, OK, Command
from scheduler_svc.cli.receiver import Answer, Receiver
from scheduler_svc.domain import duration

PORT_MAX = 65_535


def _status(text: str) -> int:
    if not text.isdigit() or not 200 <= int(text) <= 599:  # noqa: PLR2004 - HTTP's final statuses
        raise ArgumentTypeError(f"{text!r} is not a status from 200 to 599")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > PORT_MAX:
        raise ArgumentTypeError(f"{text!r} is not a port from 0 to {PORT_MAX}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return duration.milliseconds(text) / 1000
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=9000, help="port to listen on, 0 for any (%(default)s)"
    )
    parser.add_argument("--status", type=_status, default=200, help="answer this (%(default)s)")
    parser.add_argument(
        "--delay", type=_seconds, default=0.0, metavar="2s", help="wait before the answer"
    )
    parser.add_argument("--hang-up", action="store_true", help="close instead of an answer")
    parser.add_argument("--json", action="store_true", help="print one JSON object a request")


def _run(given: Namespace) -> int:
    try:
        return asyncio.run(_receive(given))
    except OSError as error:
        where = f"{given.host}:{given.port}"
        # asyncio puts a sentence of its own there; look-ups of names have numbers of their own.
        reason = error.strerror if isinstance(error, gaierror) else os.strerror(error.errno or 0)
        print(f"scheduler-svc: can not listen on {where}: {reason}", file=sys.stderr)
        return FAILED


async def _receive(given: Namespace) -> int:
    """Listen until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    answer = Answer(given.status, given.delay, hang_up=given.hang_up)
    written = as_json if given.json else as_text

    def show(arrival: Arrival) -> None:
        try:
            print(written(arrival), flush=True)
        except BrokenPipeError:
            stop.set()  # nobody reads on

    server = await loop.create_server(
        lambda: Receiver(answer, show),
        given.host,
        given.port,
    )
    host, port = server.sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    # Not among the arrivals: with --json, stdout is for programs.
    print(f"listening on http://{shown}:{port}/ (Ctrl-C ends)", file=sys.stderr, flush=True)
    await stop.wait()
    server.close()
    return OK


COMMAND = Command("receive", "print the requests that arrive, to try a job out", _switches, _run)
