"""A call that an application schedules in its own transaction is made, or not, with its commit."""

import asyncio
import os
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from commands import program
from fleet import all_ended, database, judged, replica
from pooling import a_pooler
from sink import sinking

PAGE = (Path(__file__).parents[2] / "docs" / "transactions.md").read_text()
BLOCKS = re.findall(r"^```(sql|python) run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CREATE = """
    SELECT scheduler.create_job(jsonb_build_object(
        'schedule', jsonb_build_object('at', now() + interval '200 ms', 'if_past', 'run'),
        'target', jsonb_build_object('url', '{}')
    ))
"""

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("listen", ["true", "false"])
async def test_the_page_does_what_it_says(dsn: str, listen: str) -> None:
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        await stack.enter_async_context(replica(dsn, listen=listen))
        conn = await stack.enter_async_context(database(dsn))
        await conn.execute("CREATE TABLE orders (id int PRIMARY KEY, total numeric)")
        try:
            for language, text in BLOCKS:
                block = text.replace("http://127.0.0.1:9000", sink.url("").rstrip("/"))
                if language == "sql":
                    await conn.execute(block)
                    continue
                env = os.environ | {"DATABASE_URL": dsn}
                async with program(sys.executable, "-c", block, env=env) as running:
                    assert await running.end() == 0, running.output
            await all_ended(conn, jobs=3, seconds=60)
            async with asyncio.timeout(60):
                # Rows that the replica writes: there is no event to wait for.
                while await conn.fetchval("SELECT count(*) FROM sql_requests"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            verdict = await judged(conn, taken := await sink.taken())
            assert sorted(call.path for call in taken)[:2] == ["/remind", "/remind"]
            assert (verdict.early, verdict.doubled) == (0, 0)
            names = [row["name"] for row in await conn.fetch("SELECT name FROM jobs ORDER BY name")]
            assert names == ["remind-order-42", "remind-order-43"]
            assert [row["id"] for row in await conn.fetch("SELECT id FROM orders")] == [42, 43]
        finally:
            await conn.execute("DROP TABLE orders; DROP OWNED BY ordering; DROP ROLE ordering")


async def test_an_application_behind_a_transaction_pooler_can_do_it_too(dsn: str) -> None:
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        await stack.enter_async_context(replica(dsn))
        if "host=" not in dsn:
            pytest.skip("the pooler of the tests stands before a Unix socket")
        pooled = await asyncpg.connect(
            await stack.enter_async_context(a_pooler(dsn)), statement_cache_size=0
        )
        stack.push_async_callback(pooled.close)
        await pooled.execute(CREATE.format(sink.url()))
        conn = await stack.enter_async_context(database(dsn))
        await all_ended(conn, jobs=1, seconds=60)
        assert len(await sink.taken()) == 1
