"""CPU and memory of one HTTP call: our sender, and with --compare every other client that imports.

The receiver is another process. CPU is user + system time of this process alone, per call; RSS is
read from /proc while 1,000 calls are open. Figures are medians; one machine, so read the ratios.
"""

import argparse
import asyncio
import importlib
import importlib.metadata
import multiprocessing
import platform
import resource
import socket
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import cast

import uvloop

from scheduler_svc.delivery.exchange import HttpRequest
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.url import parse_url

OPEN = 100
BODY = b'{"report": "%b"}' % (b"x" * 186)
HEADERS = [
    ("Content-Type", "application/json"),
    ("User-Agent", "scheduler-svc/0.1.0"),
    ("webhook-id", "0198c2d4-7a00-8000-8000-000000000001"),
    ("webhook-timestamp", "1795459200"),
    ("Idempotency-Key", "0198c2d4-7a00-8000-8000-000000000001"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("Scheduler-Job", "0198c2d4-7a00-7000-8000-000000000001"),
    ("Scheduler-Scheduled-For", "2026-11-23T09:00:00Z"),
    ("Scheduler-Attempt", "1"),
    ("Scheduler-Trigger", "schedule"),
]
RULES = EgressRules.parse(allow=["127.0.0.0/8"])
Call = Callable[[], Awaitable[object]]


class Echo(asyncio.Protocol):
    """Answers each read that ends a request; `/hold` is never answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if b" /hold " not in data[:20]:
            cast("asyncio.Transport", self.transport).write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )


def serve(listening: socket.socket) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, sock=listening, backlog=2048)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@contextmanager
def receiver() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listening,))
    process.start()
    try:
        yield listening.getsockname()[1]
    finally:
        process.kill()
        process.join()
        listening.close()


def request(port: int, path: str = "/") -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=parse_url(f"http://127.0.0.1:{port}{path}"),
        headers=[(name.encode(), value.encode()) for name, value in HEADERS],
        body=BODY,
        connect_timeout=10,
        first_byte_timeout=30,
        total_timeout=30,
    )


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


async def measure(call: Call, calls: int) -> tuple[float, float]:
    """CPU microseconds a call, and calls a second, with OPEN callers in turn."""

    async def caller() -> None:
        for _ in range(calls // OPEN):
            await call()

    await asyncio.gather(*[call() for _ in range(OPEN)])  # warm
    began, used = perf_counter(), cpu()
    await asyncio.gather(*[caller() for _ in range(OPEN)])
    used, took = cpu() - used, perf_counter() - began
    return used / calls * 1e6, calls / took


async def rounds(name: str, call: Call, calls: int, count: int = 15) -> None:
    figures = [await measure(call, calls) for _ in range(count)]
    spent = [used for used, _ in figures]
    rate = statistics.median(rate for _, rate in figures)
    low, high = min(spent), max(spent)
    median = statistics.median(spent)
    print(f"{name:34} {median:9.1f} us CPU/call ({low:.1f}-{high:.1f}) {rate:9.0f} calls/s")


async def ours(port: int, loop_name: str) -> None:
    sender = Sender(egress=RULES, connections_per_origin=OPEN)
    one = request(port)

    async def call() -> None:
        exchange = await sender.send(one)
        assert exchange.status_code == 200, exchange

    await rounds(f"scheduler-svc sender ({loop_name})", call, 5_000)
    await sender.close()


async def burst(port: int) -> None:
    """10,000 calls at one instant over 64 connections: most wait in line."""
    sender = Sender(egress=RULES)
    one = request(port)
    await asyncio.gather(*[sender.send(one) for _ in range(64)])
    spent = []
    for _ in range(5):
        used = cpu()
        exchanges = await asyncio.gather(*[sender.send(one) for _ in range(10_000)])
        spent.append((cpu() - used) / 10_000 * 1e6)
        assert all(exchange.status_code == 200 for exchange in exchanges)
    median = statistics.median(spent)
    print(f"{'burst of 10,000 over 64':34} {median:9.1f} us CPU/call, task included")
    await sender.close()


async def memory(port: int) -> None:
    """RSS of an open call: 1,000 that wait for their first byte, each on its own connection."""
    sender = Sender(egress=RULES, connections_per_origin=1000)
    held = request(port, "/hold")
    await sender.send(request(port))
    before = resident()
    tasks = [asyncio.ensure_future(sender.send(held)) for _ in range(1000)]
    await asyncio.wait(tasks, timeout=3)
    after = resident()
    assert not any(task.done() for task in tasks)
    print(f"{'RSS of one open call (1,000 open)':34} {(after - before) / 1000 / 1024:9.1f} KiB")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await sender.close()


async def aiohttp(port: int) -> None:
    module = importlib.import_module("aiohttp")
    connector = module.TCPConnector(limit=OPEN)
    async with module.ClientSession(connector=connector) as session:

        async def call() -> None:
            url = f"http://127.0.0.1:{port}/"
            async with session.post(url, data=BODY, headers=dict(HEADERS)) as response:
                await response.read()

        await rounds(f"aiohttp {module.__version__}", call, 2_000)


async def httpx(port: int, name: str = "httpx") -> None:
    module = importlib.import_module(name)
    limits = module.Limits(max_connections=OPEN, max_keepalive_connections=OPEN)
    async with module.AsyncClient(limits=limits, trust_env=False) as session:

        async def call() -> None:
            url = f"http://127.0.0.1:{port}/"
            await session.post(url, content=BODY, headers=dict(HEADERS))

        await rounds(f"{name} {module.__version__}", call, 300, count=3)


async def others(port: int) -> None:
    for compare in (aiohttp, httpx, lambda port: httpx(port, "httpx2")):
        try:
            await compare(port)
        except ModuleNotFoundError as missing:
            print(f"{missing.name} is not installed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", action="store_true", help="measure other clients too")
    arguments = parser.parse_args()
    versions = {name: importlib.metadata.version(name) for name in ("httptools", "uvloop")}
    print(f"Python {sys.version.split()[0]}, {platform.machine()}, {versions}")
    with receiver() as port:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(memory(port))  # first, while no memory was used and freed
            runner.run(ours(port, "uvloop"))
            runner.run(burst(port))
            if arguments.compare:
                runner.run(others(port))
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(ours(port, "asyncio"))


if __name__ == "__main__":
    main()
