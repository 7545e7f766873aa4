"""An address of several hosts: one that is dark keeps nobody from the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import pytest

from scheduler_svc.store.hosts import Hosts, places_of
from scheduler_svc.store.lineage import Lineage
from scheduler_svc.store.pool import close_pool, connection, open_pool

READY = b"Z\0\0\0\5I"
SECONDS = 4.0
"""For all hosts: a dark one has half of it, and a slow machine has the other half to connect."""


class Host:
    """Leads to a server, until it is dark: then it takes connections and says nothing, as one does
    whose server is frozen.
    """

    def __init__(self, real: str) -> None:
        self.asked = 0
        self.is_dark = True
        self.greets = False
        """Lets its caller in, and says nothing from then on."""
        self.place = ""
        self._real = real

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.is_dark:
            await reader.read()  # until its caller leaves
            writer.close()
            return
        if self._real.startswith("/"):
            there, back = await asyncio.open_unix_connection(self._real)
        else:
            host, _, port = self._real.partition(":")
            there, back = await asyncio.open_connection(host, int(port))
        last = READY if self.greets else None
        await asyncio.gather(pump(reader, back), pump(there, writer, last))
        writer.close()


async def pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, last: bytes | None = None
) -> None:
    """Pass on what comes, up to the last that it says."""
    while data := await reader.read(65_536):
        writer.write(data)
        if last is not None and last in data:
            return
    writer.close()


@asynccontextmanager
async def hosted(dsn: str) -> AsyncIterator[Host]:
    place, _ = apart(dsn)
    real = f"{place.replace('%2F', '/').replace(':', '/.s.PGSQL.')}" if "%2F" in place else place
    host = Host(real)
    async with await asyncio.start_server(host.take, "127.0.0.1", 0) as server:
        host.place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield host


def apart(dsn: str) -> tuple[str, str]:
    """Return where an address leads, a port or the socket in a folder, and who asks there."""
    parts = urlsplit(dsn)
    user, _, place = parts.netloc.rpartition("@")
    query = parse_qs(parts.query)
    if "host" in query:
        place = f"{query['host'][0].replace('/', '%2F')}:{query['port'][0]}"
    return place, user


def through(dsn: str, *places: str, user: str | None = None) -> str:
    """The same address by other hosts; an empty one stands for its own."""
    place, asker = apart(dsn)
    hosts = ",".join(one or place for one in places)
    return urlunsplit(urlsplit(dsn)._replace(netloc=f"{user or asker}@{hosts}", query=""))


async def test_behind_a_dark_host_the_next_is_found_in_time_and_remembered(dsn: str) -> None:
    async with hosted(dsn) as host:
        pool = await open_pool(
            through(dsn, host.place, ""), application_name="hosts test", connect_seconds=SECONDS
        )
        async with connection(pool) as first, connection(pool) as second:
            assert await first.fetchval("SELECT 1") == await second.fetchval("SELECT 1") == 1
        assert host.asked == 1
        await close_pool(pool)


async def test_when_the_good_host_goes_dark_the_others_are_asked_again(dsn: str) -> None:
    async with hosted(dsn) as host:
        host.is_dark = False
        hosts = Hosts(through(dsn, host.place, ""))
        (await hosts.connect(timeout=SECONDS)).terminate()
        host.is_dark = True
        for _ in range(2):
            (await hosts.connect(timeout=SECONDS)).terminate()
        assert host.asked == 2


async def test_a_host_that_goes_dark_when_it_is_judged_has_no_more_than_its_share(dsn: str) -> None:
    async with hosted(dsn) as host:
        host.is_dark, host.greets = False, True
        hosts = Hosts(through(dsn, host.place, ""), Lineage())
        async with asyncio.timeout(2 * SECONDS):
            opened = await hosts.connect(timeout=SECONDS)
        assert await opened.fetchval("SELECT 1") == 1
        assert host.asked == 1
        opened.terminate()


async def test_hosts_that_refuse_or_are_dark_are_passed_by_in_one_go(dsn: str) -> None:
    async with hosted(dsn) as host:
        hosts = Hosts(through(dsn, "127.0.0.1:1", host.place, ""))
        opened = await hosts.connect(timeout=SECONDS)
        assert await opened.fetchval("SELECT 1") == 1
        assert host.asked == 1
        opened.terminate()


async def test_what_no_other_host_mends_is_said_at_once(dsn: str) -> None:
    async with hosted(dsn) as host:
        hosts = Hosts(through(dsn, "", host.place, user="nobody_of_this_name:x"))
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await hosts.connect(timeout=SECONDS)
        assert host.asked == 0


async def test_where_all_are_away_the_last_word_is_told() -> None:
    hosts = Hosts("postgresql://127.0.0.1:1,127.0.0.1:2/none")
    with pytest.raises(ConnectionRefusedError):
        await hosts.connect(timeout=SECONDS)


@pytest.mark.parametrize(
    ("address", "places"),
    [
        ("postgresql://u:p%40@db-1,db-2:5433/x", [("db-1", 5432), ("db-2", 5433)]),
        ("postgresql://[::1],[::2]:7/x?port=5439", [("::1", 5439), ("::2", 7)]),
        ("postgresql:///x?host=/run/a,/run/b&port=1,2", [("/run/a", 1), ("/run/b", 2)]),
        ("postgresql://u@%2Frun%2Fa:1,%2Frun%2Fb:2/x", [("/run/a", 1), ("/run/b", 2)]),
        ("postgresql://db-1/x", []),
        ("postgresql:///x", []),
        ("postgresql:///x?host=/run/a", []),
    ],
)
def test_hosts_are_read_as_the_driver_reads_them(
    address: str, places: list[tuple[str, int]]
) -> None:
    assert places_of(address) == places
