"""Connections to PostgreSQL, each use of them bounded in time.

Promises that no caller waits longer than it said, with the server frozen, gone or slow, and that a
connection found dead before any work is replaced without a word.
Will not hide that a database is away: `is_database_away` tells, and work is repeated once at most.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import asyncpg
import asyncpg.pool
import asyncpg.transaction

from scheduler_svc.store.away import is_broken, is_database_away, is_worth_one_more
from scheduler_svc.store.hosts import Hosts
from scheduler_svc.store.lineage import Lineage
from scheduler_svc.store.loan import Loan, Pool, take
from scheduler_svc.store.watch import OnStatement, watched

__all__ = [
    "Connection",
    "Pool",
    "close_pool",
    "connection",
    "is_database_away",
    "open_pool",
    "run_alone",
    "run_once_more",
    "transaction",
]

# What the modules of this floor take: a pooled connection or one of its own (LISTEN, migrations).
# A string, for these classes are generic to the type checker only.
Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"
T = TypeVar("T")

CALL_SECONDS = 4.0
"""How long a use of a connection takes unless it says otherwise: who asks the API while the
database does not answer is told so within 5 s."""
COMMAND_SECONDS = 10.0
CONNECT_SECONDS = 4.0
NO_PLANNER: Mapping[str, str] = {}
# The engine's statements look up a batch by key, whatever the tables hold. What reads a table whole
# looks cheap on the morning of a new, empty partition, and a plan made then stays for the day.
BY_KEY: Mapping[str, str] = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}


async def open_pool(
    dsn: str,
    *,
    application_name: str,
    size_max: int = 10,
    statement_cache_size: int = 200,
    statement_timeout_ms: int = 10_000,
    lock_timeout_ms: int = 5_000,
    idle_in_transaction_ms: int = 5_000,
    command_seconds: float = COMMAND_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    planner: Mapping[str, str] = NO_PLANNER,
    on_statement: OnStatement | None = None,
    lineage: Lineage | None = None,
) -> Pool:
    """Open one connection now and the others as they are needed.

    `planner` are further session settings, such as BY_KEY; `on_statement` hears of each statement.
    `lineage` refuses connections to a primary whose place another has taken. Where `dsn` names
    several hosts, `connect_seconds` is for all of them together.
    `statement_cache_size=0` is for a transaction pooler, which loses prepared statements.
    Raises what `is_database_away` knows when there is no server.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size_max,
        max_inactive_connection_lifetime=300.0,
        timeout=connect_seconds,
        command_timeout=command_seconds,
        statement_cache_size=statement_cache_size,
        connect=Hosts(dsn, lineage).connect,
        init=_plan_once if planner is not NO_PLANNER and statement_cache_size > 0 else None,
        reset=_keep_session,
        connection_class=asyncpg.Connection if on_statement is None else watched(on_statement),
        server_settings=session_settings(
            application_name=application_name,
            statement_timeout_ms=statement_timeout_ms,
            lock_timeout_ms=lock_timeout_ms,
            idle_in_transaction_ms=idle_in_transaction_ms,
        )
        | dict(planner),
    )


async def close_pool(pool: Pool, *, seconds: float = CONNECT_SECONDS) -> None:
    """Close all connections, politely for so long and then by cutting them."""
    try:
        async with asyncio.timeout(seconds):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def session_settings(
    *,
    application_name: str,
    statement_timeout_ms: int,
    lock_timeout_ms: int,
    idle_in_transaction_ms: int,
) -> dict[str, str]:
    """What each session asks of the server, which ends what a dead or frozen replica left open."""
    return {
        "application_name": application_name,
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(idle_in_transaction_ms),
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "jit": "off",  # compiling costs more than any statement here
        "random_page_cost": "1.1",  # no disk of today seeks; at 4 a page of a list reads all jobs
        "timezone": "UTC",
    }


async def _plan_once(conn: Any) -> None:
    """Have each statement planned for any parameters.

    Else it is planned for those of its first five uses, and a burst after a quiet while, on new
    connections, pays for little but that. Not a start-up parameter: poolers refuse unknown ones.
    """
    await conn.execute("SET plan_cache_mode = force_generic_plan")


async def _keep_session(_connection: Any) -> None:
    """Skip the round trip of asyncpg's reset: nothing here changes a pooled session's state.

    An open transaction is still rolled back, by asyncpg itself, before this is called.
    """


class connection:  # noqa: N801 - a block, as contextlib names its own
    """Lends a connection for at most so long, the wait for it included.

    Raises TimeoutError at the deadline, when the connection is cut: what was sent may yet happen.
    """

    __slots__ = ("_loan", "_pool", "_seconds")

    def __init__(self, pool: Pool, *, seconds: float = CALL_SECONDS) -> None:
        self._pool, self._seconds = pool, seconds

    async def __aenter__(self) -> Connection:
        self._loan = await take(self._pool, _deadline(self._seconds))
        return self._loan.lent

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: object
    ) -> None:
        try:
            if error is not None and (better := self._loan.judge(error)):
                raise better from error
        finally:
            await self._loan.give_back(sure=error is None)


@asynccontextmanager
async def transaction(pool: Pool, *, seconds: float = CALL_SECONDS) -> AsyncIterator[Connection]:
    """Lend a connection with a transaction open: committed at the end, rolled back on errors."""
    loan, work = await _begin(pool, _deadline(seconds))
    sure = False
    try:
        try:
            yield loan.lent
        except Exception as error:
            if not (isinstance(error, TimeoutError) or loan.is_gone()):
                with suppress(Exception):  # the first error says more; giving back mends the rest
                    await work.rollback()
            raise
        else:
            await work.commit()
            sure = True
    except BaseException as error:
        if better := loan.judge(error):
            raise better from error
        raise
    finally:
        await loan.give_back(sure=sure)


async def run_once_more(
    pool: Pool, work: Callable[[Connection], Awaitable[T]], *, seconds: float = CALL_SECONDS
) -> T:
    """Run the work in a transaction; when its connection breaks, once more on a fresh one.

    The break may have come after the commit, so the work must be harmless when done twice: fenced,
    or unique by its ids. A time-out is not repeated: the caller has waited long enough.
    """
    try:
        async with transaction(pool, seconds=seconds) as lent:
            return await work(lent)
    except Exception as error:
        if not is_worth_one_more(error):
            raise
    async with transaction(pool, seconds=seconds) as lent:
        return await work(lent)


async def run_alone(
    pool: Pool, work: Callable[[Connection], Awaitable[T]], *, seconds: float = CALL_SECONDS
) -> T:
    """Do the same for work that is one statement, which needs no transaction around it."""
    try:
        async with connection(pool, seconds=seconds) as lent:
            return await work(lent)
    except Exception as error:
        if not is_worth_one_more(error):
            raise
    async with transaction(pool, seconds=seconds) as lent:  # on a connection that is whole
        return await work(lent)


async def _begin(pool: Pool, deadline: float) -> tuple[Loan, asyncpg.transaction.Transaction]:
    """Begin on the first whole connection: after a restart of the server all idle ones are dead."""
    for left in reversed(range(pool.get_max_size() + 1)):
        loan = await take(pool, deadline)
        work = loan.lent.transaction()
        try:
            await work.start()
        except BaseException as error:
            better = loan.judge(error) or error
            if is_broken(better):
                loan.cut()
            await loan.give_back()
            if left and is_broken(better):
                continue
            raise better from error
        return loan, work
    raise AssertionError("the last round raises")


def _deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
