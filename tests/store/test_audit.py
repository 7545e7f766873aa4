"""The audit log in the store: lists read a page by their index, and no privileges are needed."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest

from scheduler_svc.domain.ids import EPOCH
from scheduler_svc.store import audit, migrate
from scheduler_svc.store.audit_lists import AuditFilter, list_audit
from scheduler_svc.store.pool import Connection, Pool, transaction
from scheduler_svc.store.queries import statement
from seeding import explained

ENTRIES, PAGE = 20_000, 51
NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
JOB = UUID(int=7)
FILTERS: dict[str, dict[str, Any]] = {
    "list_audit_by_all": {"namespace": "*"},
    "list_audit_by_namespace": {"namespace": "team-1"},
    "list_audit_by_action": {"action": "job.deleted"},
    "list_audit_by_actor": {"actor": "key:3"},
    "list_audit_by_resource": {"resource_id": "r-7"},
    "list_audit_by_job": {"job": JOB},
    "list_audit_by_request": {"request_id": "q-7"},
}


async def filled(conn: Connection) -> None:
    """Write entries as they are sealed over a week, without a chain: lists do not look at it."""
    await conn.execute(
        """
        INSERT INTO audit_log (seq, id, at, namespace, actor_kind, actor_id, request_id, action,
            resource_kind, resource_id, job_id, prev_hash, hash)
        SELECT n, gen_random_uuid(), $1::timestamptz - ($2 - n) * interval '30 s',
            'team-' || n % 100, 'key', 'key:' || n % 50, 'q-' || n,
            CASE WHEN n % 100 = 0 THEN 'job.deleted' ELSE 'job.updated' END, 'job', 'r-' || n % 400,
            CASE WHEN n % 400 = 7 THEN $3::uuid ELSE gen_random_uuid() END, sha256('a'), sha256('b')
        FROM generate_series(1, $2::integer) AS n
        """,
        NOW,
        ENTRIES,
        JOB,
    )
    await conn.execute("ANALYZE audit_log")


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_each_list_reads_a_page_by_its_own_index(pool: Pool, plan: str) -> None:
    async with transaction(pool) as conn:
        await filled(conn)
        await conn.execute(f"SET LOCAL plan_cache_mode TO {plan}")
        for name, narrow in FILTERS.items():
            wanted = AuditFilter(
                **{"namespace": "*", "since": EPOCH, "until": NOW + timedelta(days=1), **narrow}
            )
            found = await list_audit(conn, wanted, after=None, at_most=PAGE)
            assert found
            assert found == sorted(found, key=lambda one: -one.link.seq)
            given = (
                wanted.namespace,
                *(wanted.action, wanted.actor, wanted.resource, wanted.resource_id, wanted.job),
                *(wanted.request_id, wanted.since, wanted.until, wanted.until, 0, PAGE),
            )
            told = await explained(conn, statement(name), given)
            assert told.whole == [], name
            assert told.read <= PAGE * 2, (name, told.read)


@pytest.fixture
async def bare(server_dsn: str) -> AsyncIterator[Connection]:
    """A migrated database of a role that may do nothing but own it."""
    name = f"scheduler_bare_{secrets.token_hex(4)}"
    server = await asyncpg.connect(server_dsn, timeout=10)
    await server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'bare'")
    await server.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    parts = urlsplit(server_dsn)
    where = parts.netloc.rpartition("@")[2]
    dsn = urlunsplit(parts._replace(netloc=f"{name}:bare@{where}", path=f"/{name}"))
    await migrate.migrate(dsn)
    opened = await asyncpg.connect(dsn, timeout=10)
    yield opened
    await opened.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.execute(f"DROP ROLE {name}")
    await server.close()


async def test_a_role_without_privileges_migrates_seals_and_prunes(bare: Connection) -> None:
    await bare.execute(
        "INSERT INTO audit_pending (namespace, actor_kind, actor_id, action, resource_kind)"
        " SELECT 'default', 'cli', 'me', 'job.created', 'job' FROM generate_series(1, 3)"
    )
    async with bare.transaction():
        assert await audit.try_lock(bare)
        assert len(await audit.take(bare, since=EPOCH, batch=2)) == 2
    async with bare.transaction():
        await filled(bare)
        gone = await audit.prune(bare, older_than=NOW, batch=100)
        assert gone is not None
        assert (gone[0].seq, gone[1]) == (100, 100)


async def test_what_seals_takes_its_leave_back_before_the_transaction_ends(
    bare: Connection,
) -> None:
    async with bare.transaction():
        await audit.take(bare, since=EPOCH, batch=2)
        await audit.prune(bare, older_than=NOW, batch=2)
        for table in ("audit_pending", "audit_log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with bare.transaction():
                    await bare.execute(f"DELETE FROM {table}")
