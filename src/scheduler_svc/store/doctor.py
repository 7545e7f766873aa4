"""What `doctor` reads of a server: one typed function a statement, nothing is ever written."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection, Pool, transaction
from scheduler_svc.store.queries import statement

COUNTED_MAX = 10_000


class ServerSetting(NamedTuple):
    name: str
    setting: str
    unit: str | None
    source: str

    @property
    def bytes(self) -> int:
        """Return a size in bytes: `unit` is how many of them one is."""
        factors = {"kB": 1024, "8kB": 8192, "MB": 1024**2, "16MB": 16 * 1024**2}
        return int(self.setting) * factors.get(self.unit or "", 1)


class Connections(NamedTuple):
    clients: int
    ours: int
    recovering: bool


class Owner(NamedTuple):
    name: str
    owner: str
    me: str
    owned: bool


class Index(NamedTuple):
    name: str
    on_table: str
    valid: bool
    enforces: bool
    scans: int
    bytes: int
    partition: bool


class Table(NamedTuple):
    name: str
    live: int
    dead: int
    vacuumed_at: datetime | None
    bytes: int
    vacuum_off: bool


class OldTransaction(NamedTuple):
    pid: int
    who: str | None
    application: str | None
    state: str | None
    seconds: float


class Slot(NamedTuple):
    name: str
    active: bool
    wal_status: str
    behind: int


class Prepared(NamedTuple):
    gid: str
    owner: str
    seconds: float


class KnownReplica(NamedTuple):
    id: UUID
    host: str
    pid: int
    version: str
    tzdata: str
    role: str
    lease_until: datetime
    clock_offset_ms: float


class OldRequests(NamedTuple):
    """What was asked for in SQL and waits: how much, and of the oldest since when and its job."""

    waiting: int
    since: datetime | None
    job_id: UUID | None


class Sealed(NamedTuple):
    kind: str
    namespace: str
    name: str
    sealed: str


@asynccontextmanager
async def reading(pool: Pool, *, seconds: float) -> AsyncIterator[Connection]:
    """Lend a connection in a transaction that can change nothing."""
    async with transaction(pool, seconds=seconds) as conn:
        await conn.execute(statement("begin_reading"))
        yield conn


async def server_settings(conn: Connection) -> Mapping[str, ServerSetting]:
    """Return the server's settings by name; one that this version does not have is not there."""
    return {row["name"]: ServerSetting(*row) for row in await _rows(conn, "server_settings")}


async def connections(conn: Connection) -> Connections:
    """Count the sessions."""
    (row,) = await _rows(conn, "connections_now")
    return Connections(*row)


async def owner(conn: Connection) -> Owner:
    """Return who owns the tables."""
    (row,) = await _rows(conn, "schema_of")
    return Owner(*row)


async def indexes(conn: Connection) -> list[Index]:
    """Return every index on our tables."""
    return [Index(*row) for row in await _rows(conn, "our_indexes")]


async def tables(conn: Connection) -> list[Table]:
    """Return our tables as the statistics have them."""
    return [Table(*row) for row in await _rows(conn, "our_tables")]


async def old_transactions(conn: Connection, seconds: float) -> list[OldTransaction]:
    """Return transactions that are open for so long."""
    return [OldTransaction(*row) for row in await _rows(conn, "old_transactions", seconds)]


async def slots(conn: Connection) -> list[Slot]:
    """Return the replication slots."""
    return [Slot(*row) for row in await _rows(conn, "replication_slots")]


async def prepared(conn: Connection, seconds: float) -> list[Prepared]:
    """Return prepared transactions that nobody ended for so long."""
    return [Prepared(*row) for row in await _rows(conn, "prepared_transactions", seconds)]


async def transaction_age(conn: Connection) -> int:
    """Return the age of the oldest transaction id."""
    age: int = await conn.fetchval(statement("oldest_transaction_id"))
    return age


async def replicas(conn: Connection) -> list[KnownReplica]:
    """Return the replicas, those too whose lease has run out."""
    return [KnownReplica(*row) for row in await _rows(conn, "known_replicas")]


async def overdue(conn: Connection, *, before_ms: int) -> tuple[int, datetime | None]:
    """Count timers that are due since before an instant, at most COUNTED_MAX of them."""
    (row,) = await _rows(conn, "overdue_timers", instant_at(before_ms), COUNTED_MAX)
    return row[0], row[1]


async def old_sql_requests(conn: Connection, *, before_ms: int) -> OldRequests:
    """Count what was asked for in SQL before an instant, at most COUNTED_MAX of it."""
    (row,) = await _rows(conn, "old_sql_requests", instant_at(before_ms), COUNTED_MAX)
    return OldRequests(*row)


async def sealed(conn: Connection, *, at_most: int) -> list[Sealed]:
    """Return sealed values of the tables that have one a row."""
    return [Sealed(*row) for row in await _rows(conn, "sealed_secrets", at_most)]


async def sealed_jobs(conn: Connection, *, at_most: int) -> list[tuple[UUID, str, str]]:
    """Return jobs with sealed values: id, namespace and definition as text."""
    return [tuple(row) for row in await _rows(conn, "sealed_jobs", at_most)]


async def _rows(conn: Connection, name: str, *values: Any) -> list[Any]:
    return list(await conn.fetch(statement(name), *values))
