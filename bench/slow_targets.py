"""Calls that stay open for seconds beside quick ones: how late are the quick, with and without?

    python bench/slow_targets.py [--open N] [--takes SECONDS] [--hosts N] [--rate N] [--seconds N]

The slow jobs have a namespace and so many hosts of their own (one alone is given 64 connections and
a part of the slots), and make as many calls as keep that many open at once. The quick ones fire at
an even pace at the receiver, which takes down how late they are. First the quick alone, then both.
"""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, Receiver, a_database, durable, receiving
from bench._steady import Stand, evenly, pass_by, until

from commands import free_port
from fleet import database, replica

PERIOD = 60
SLOW = """
    SELECT count(*) FILTER (WHERE status = 'due') AS waiting,
        coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms), -1) AS p99
    FROM runs WHERE namespace = 'slow' AND scheduled_for < clock_timestamp()
"""


@dataclass
class Hosts:
    """Loopback addresses that answer so late; how many requests are open, and were at most."""

    takes: float
    open: int = 0
    most: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length:")[1].split()[0]))
                self.open += 1
                self.most = max(self.most, self.open)
                await asyncio.sleep(self.takes)
                self.open -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


async def measure(ground: Ground, target: Receiver, asked: argparse.Namespace) -> None:
    """Measure the quick alone, then beside the slow."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        hosts = Hosts(asked.takes)
        addresses = [f"127.0.1.{n}" for n in range(1, asked.hosts + 1)]
        port = free_port()
        listening = await asyncio.start_server(hosts.answer, addresses, port, backlog=1024)
        stack.callback(listening.close)
        stand = Stand(ground, conn, [await stack.enter_async_context(replica(dsn))])
        first = await evenly(conn, target.url, jobs=asked.rate * PERIOD, period=PERIOD)
        await until(conn, first, seconds=10)
        target.seen()
        print(f"the quick alone: {await pass_by(stand, asked.seconds)}")
        print(f"    at the receiver: {target.seen()}", flush=True)
        jobs = int(asked.open / asked.takes * PERIOD / asked.hosts)
        for address in addresses:
            url = f"http://{address}:{port}/"
            first = await evenly(conn, url, jobs=jobs, period=PERIOD, namespace="slow")
        await until(conn, first, seconds=3 * asked.takes)
        target.seen()
        print(f"beside the slow: {await pass_by(stand, asked.seconds)}")
        print(f"    at the receiver: {target.seen()}")
        row = await conn.fetchrow(SLOW)
        assert row is not None
        print(
            f"    {hosts.open:,} slow calls are open, {hosts.most:,} were at most;"
            f" {row['waiting']:,} wait; late p99 {row['p99']} ms"
        )


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="quick calls beside slow ones")
    given.add_argument("--open", type=int, default=1000, help="slow calls open at once")
    given.add_argument("--takes", type=float, default=5.0, help="seconds that a slow call takes")
    given.add_argument("--hosts", type=int, default=25, help="how many hosts are slow")
    given.add_argument("--rate", type=int, default=500, help="quick calls a second")
    given.add_argument("--seconds", type=float, default=60.0)
    asked = given.parse_args()
    with durable() as ground, receiving(watching=True) as target:
        asyncio.run(measure(ground, target, asked))


if __name__ == "__main__":
    main()
