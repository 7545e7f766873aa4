"""`doctor`: each fault is planted for real, found by name, and gone after its cure was typed."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import pytest

from commands import COMMAND
from fleet import replica
from pooling import a_pooler
from scheduler_svc.cli.doctor.checks import FIRST, LAST, OF_OUR_TABLES, OF_THE_SERVER, examine
from scheduler_svc.cli.doctor.finding import Finding, Surroundings
from scheduler_svc.domain.secrecy import NAMED, place_of
from scheduler_svc.settings import load
from scheduler_svc.store import migrate
from scheduler_svc.store.partitions import partition_name
from scheduler_svc.store.vault import KeyRing
from sealing import KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, RING
from servers import a_server

OTHER_RING = KeyRing([OTHER_KEY], os.urandom)
HEALTHY = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_senders": "2",
    "max_prepared_transactions": "2",
}
SICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "track_counts": "off",
    "max_wal_size": "64MB",
    "shared_buffers": "16MB",
    "max_connections": "20",
}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with a_server(**HEALTHY) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def served(server: str) -> AsyncIterator[str]:
    """A database with a replica at work, in which nothing is wrong."""
    dsn = await a_database(server, "served")
    async with replica(dsn):
        yield dsn


async def a_database(server: str, name: str, *, migrated: bool = True) -> str:
    await typed(server, f"CREATE DATABASE {name}")
    dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    if migrated:
        await migrate.migrate(dsn)
    return dsn


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        yield conn
    finally:
        await conn.close()


async def typed(dsn: str, *orders: str) -> None:
    """Type orders as somebody would, each by itself."""
    async with connected(dsn) as conn:
        for order in orders:
            await conn.execute(order)


def around(dsn: str | None, env: dict[str, str] | None = None, **more: Any) -> Surroundings:
    given = {"SCHEDULER_PROFILE": "development", "SCHEDULER_DATA_DIR": "/nowhere"} | (env or {})
    if dsn is not None:
        given["DATABASE_URL"] = dsn
    return Surroundings(settings=load(given), environ=given, dsn=dsn, **more)


async def findings(
    dsn: str | None, env: dict[str, str] | None = None, **more: Any
) -> dict[str, Finding]:
    """Return what is found, by name; everything that can be looked at was."""
    report = await examine(around(dsn, env, **more))
    return {finding.check: finding for finding in report.findings}


async def one(
    dsn: str | None, name: str, env: dict[str, str] | None = None, **more: Any
) -> Finding:
    """Return the one thing that is found; anything else beside it fails the test."""
    found = await findings(dsn, env, **more)
    assert set(found) == {name}, found
    assert found[name].why
    assert found[name].fix
    return found[name]


async def test_a_healthy_service_has_nothing(served: str) -> None:
    report = await examine(around(served))
    assert report.findings == []
    assert report.left_out == []
    every = {"database", *(check.name for check in (*FIRST, *LAST))}
    every |= {check.name for check in (*OF_THE_SERVER, *OF_OUR_TABLES)}
    assert set(report.looked_at) == every


async def test_a_server_that_forgets_and_is_too_small_has_each_of_it_named() -> None:
    with a_server(**SICK) as dsn:
        await migrate.migrate(dsn)
        async with replica(dsn, pool_size="2"):
            found = await findings(dsn)
    for name in SICK:
        finding = found.pop(f"server.{name}")
        assert f"ALTER SYSTEM SET {name} = " in finding.fix
    assert found == {}


async def test_an_index_that_was_not_built_to_its_end(served: str) -> None:
    await typed(
        served,
        "INSERT INTO namespaces SELECT n::text, '{}', 1, now(), now() FROM generate_series(1, 2) n",
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await typed(served, "CREATE UNIQUE INDEX CONCURRENTLY half ON namespaces (revision)")
    finding = await one(served, "schema.index_invalid")
    assert "half on namespaces" in finding.found
    await typed(served, finding.fix, "DELETE FROM namespaces")
    assert await findings(served) == {}


async def test_an_index_that_is_not_there(served: str) -> None:
    await typed(served, "DROP INDEX jobs_labels")
    finding = await one(served, "schema.index_missing")
    assert "jobs_labels" in finding.found
    await typed(served, finding.fix)
    assert await findings(served) == {}


async def test_an_index_of_somebody_elses(served: str) -> None:
    await typed(served, "CREATE INDEX mine ON job_timers (runs_made)")
    finding = await one(served, "schema.index_extra")
    await typed(served, finding.fix)
    assert await findings(served) == {}


async def test_a_transaction_that_nobody_ends(served: str) -> None:
    async with connected(served) as forgotten:
        await forgotten.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        pid = forgotten.get_server_pid()
        report = await examine(around(served, patience=0.0))
        # A replica's own short ones may be among them.
        (finding,) = [one for one in report.findings if f"session {pid} (" in one.found]
        assert finding.check == "blockers.transaction"
        await typed(served, finding.fix)
        # The third comes where the driver is just reading that the server has ended it.
        over = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
        with pytest.raises(over):
            await forgotten.execute("SELECT 1")


async def test_a_prepared_transaction(served: str) -> None:
    await typed(
        served,
        "BEGIN; INSERT INTO namespaces VALUES ('x', '{}', 1, now(), now());"
        " PREPARE TRANSACTION 'left over'",
    )
    assert "blockers.prepared" not in await findings(served)
    finding = (await findings(served, patience=0.0))["blockers.prepared"]
    assert "'left over'" in finding.found
    await typed(served, finding.fix)
    assert await findings(served) == {}


async def test_a_replication_slot_that_nobody_reads(served: str) -> None:
    await typed(served, "SELECT pg_create_physical_replication_slot('gone', true)")
    finding = await one(served, "blockers.slot")
    await typed(served, finding.fix.partition(";")[0])
    assert await findings(served) == {}


async def test_a_table_that_vacuum_may_not_enter_and_what_comes_of_it(served: str) -> None:
    await typed(
        served,
        "ALTER TABLE rate_buckets SET (autovacuum_enabled = off)",
        "INSERT INTO rate_buckets SELECT md5(n::text), 'reads', 1, now()"
        " FROM generate_series(1, 30000) n",
        "DELETE FROM rate_buckets; SELECT pg_stat_force_next_flush()",
    )
    found = await findings(served)
    assert set(found) == {"storage.vacuum_off", "storage.dead_rows"}
    await typed(
        served,
        found["storage.vacuum_off"].fix,
        found["storage.dead_rows"].fix.partition(";")[0],
    )
    assert await findings(served) == {}


async def test_a_day_of_history_that_is_missing(server: str) -> None:
    dsn = await a_database(server, "a_day_short")
    async with replica(dsn):
        pass  # it made the days, and must be gone: it would make tomorrow again before the look
    tomorrow = partition_name((datetime.now(UTC) + timedelta(days=1)).date())
    await typed(dsn, f"DROP TABLE {tomorrow}")
    finding = (await findings(dsn))["storage.partitions"]
    assert tomorrow in finding.found
    assert "start a replica" in finding.fix
    async with replica(dsn):
        assert await findings(dsn) == {}


A_REPLICA = """
    INSERT INTO replicas (id, host, pid, version, tzdata, role, started_at, heartbeat_at,
        lease_until, slots, clock_offset_ms)
    SELECT gen_random_uuid(), 'elsewhere', 1, {version}, {tzdata}, 'all', now(), now(),
        now() + interval '1 minute', 1, {offset} FROM replicas LIMIT 1
"""


async def test_a_replica_whose_clock_and_versions_are_others(served: str) -> None:
    await typed(served, A_REPLICA.format(version="version", tzdata="tzdata", offset="-5000"))
    assert "the clock of elsewhere is -5.0 s" in (await one(served, "replicas.clock")).found
    await typed(served, "DELETE FROM replicas WHERE host = 'elsewhere'")
    await typed(served, A_REPLICA.format(version="'0.0.1'", tzdata="'1999a'", offset="0"))
    found = await findings(served)
    assert set(found) == {"replicas.versions", "replicas.tzdata"}
    assert "1999a" in found["replicas.tzdata"].found
    await typed(served, "DELETE FROM replicas WHERE host = 'elsewhere'")


async def test_fewer_replicas_than_wanted(served: str) -> None:
    finding = await one(served, "replicas.fewer", {"SCHEDULER_REPLICAS_WANTED": "2"})
    assert "1 replicas claim" in finding.found


async def test_a_namespace_that_is_held(served: str) -> None:
    await typed(
        served, "INSERT INTO holds (namespace, reason, since) VALUES ('idle', 'outage', now())"
    )
    finding = await one(served, "holds.held")
    assert "idle" in finding.found
    assert "scheduler-svc release" in finding.fix
    await typed(served, "DELETE FROM holds")


ASKED = """
    SELECT scheduler.create_job('{
        "schedule": {"cron": "0 0 1 1 *"}, "target": {"url": "http://127.0.0.1:9/x"}
    }')
"""
AN_HOUR_AGO = "UPDATE sql_requests SET asked_at = asked_at - interval '1 hour'"


async def carried_out(dsn: str) -> None:
    """Wait until nothing that was asked for in SQL waits: there is no event of it."""
    async with connected(dsn) as conn, asyncio.timeout(30):
        while await conn.fetchval("SELECT count(*) FROM sql_requests"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_what_was_asked_for_in_sql_and_meets_a_lock_that_nobody_gives_up(
    served: str,
) -> None:
    async with connected(served) as app, connected(served) as other:
        made = await app.fetchval(ASKED)
        await carried_out(served)
        await other.execute("BEGIN")
        await other.execute("SELECT FROM job_timers WHERE job_id = $1 FOR UPDATE", made)
        await app.execute("SELECT scheduler.trigger_job($1)", str(made))
        assert "requests.waiting" not in await findings(served)
        await app.execute(AN_HOUR_AGO)
        finding = await one(served, "requests.waiting")
        assert finding.level == "fault"
        assert finding.found.startswith("1 requests made in SQL are not carried out, the oldest")
        assert finding.found.endswith(" for 60 min")
        assert f"job {made} locked: `scheduler-svc doctor --patience 10`" in finding.fix
        report = await examine(around(served, patience=0.0))
        pid = other.get_server_pid()
        (blocker,) = [one for one in report.findings if f"session {pid} (" in one.found]
        await typed(served, blocker.fix)
        await carried_out(served)
        await app.execute("SELECT scheduler.cancel_job($1)", str(made))
        await carried_out(served)
    assert await findings(served) == {}


async def test_what_was_asked_for_in_sql_while_no_replica_runs(server: str) -> None:
    dsn = await a_database(server, "asked")
    await typed(dsn, ASKED, AN_HOUR_AGO)
    finding = (await findings(dsn))["requests.waiting"]
    assert finding.fix == "start a replica, of any role: scheduler-svc serve"
    async with replica(dsn):
        await carried_out(dsn)
        assert await findings(dsn) == {}


def sealed_by(ring: KeyRing) -> str:
    return ring.seal("hush", place_of("default", NAMED, "token"))


async def test_secrets_that_no_key_opens_and_one_that_an_older_key_does(served: str) -> None:
    insert = "INSERT INTO secrets VALUES ('default', 'token', '{}', now(), now())"
    await typed(served, insert.format(sealed_by(OTHER_RING)))
    keys = {"SCHEDULER_SECRET_KEYS": KEY_TEXT}
    finding = await one(served, "secrets.key_missing", keys)
    assert OTHER_RING.newest in finding.found
    keys = {"SCHEDULER_SECRET_KEYS": f"{KEY_TEXT},{OTHER_KEY_TEXT}"}
    finding = await one(served, "secrets.older_key", keys)
    assert finding.fix == "scheduler-svc reseal"
    await typed(served, "DELETE FROM secrets", insert.format(sealed_by(RING)))
    assert await findings(served, keys) == {}
    await typed(served, "UPDATE secrets SET name = 'moved'")
    await one(served, "secrets.damaged", keys)
    await typed(served, "DELETE FROM secrets")


async def test_a_role_that_may_not_make_the_days(served: str) -> None:
    await typed(
        served,
        "CREATE ROLE guest LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO guest",
    )
    parts = urlsplit(served)
    dsn = urlunsplit(
        parts._replace(netloc="", query=urlencode([*parse_qsl(parts.query), ("user", "guest")]))
    )
    finding = (await findings(dsn))["schema.owner"]
    await typed(served, finding.fix)
    assert "schema.owner" not in await findings(dsn)


async def test_a_database_that_is_behind_leaves_out_what_can_not_be_asked(server: str) -> None:
    dsn = await a_database(server, "empty", migrated=False)
    report = await examine(around(dsn))
    (finding,) = report.findings
    assert (finding.check, finding.fix) == ("schema.behind", "scheduler-svc migrate")
    assert report.left_out == [check.name for check in OF_OUR_TABLES]


async def test_a_service_that_does_not_run_fires_nothing(server: str) -> None:
    dsn = await a_database(server, "idle")
    found = await findings(dsn)
    assert set(found) == {"replicas.none", "storage.partitions"}


async def test_production_without_keys(served: str) -> None:
    env = {"SCHEDULER_PROFILE": "production", "SCHEDULER_HOLD_AFTER": "0s"}
    found = await findings(served, env)
    assert set(found) == {"settings.no_keys", "settings.secret_keys", "settings.hold_after"}
    assert found["settings.no_keys"].fix.startswith("scheduler-svc keys create")


async def test_the_way_out_is_tried_for_a_target(served: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_port = listener.getsockname()[1]
        assert await findings(served, targets=(f"http://127.0.0.1:{open_port}",)) == {}
        listener.listen()
        talk = asyncio.get_running_loop().run_in_executor(None, _answer_nonsense, listener)
        finding = await one(served, "egress.target", targets=(f"127.0.0.1:{open_port}",))
        assert "TLS failed" in finding.found
        await talk
    closed = (f"http://127.0.0.1:{open_port}",)
    assert "connection refused" in (await one(served, "egress.target", targets=closed)).found
    nowhere = ("https://nowhere.invalid",)
    assert "name not found" in (await one(served, "egress.target", targets=nowhere)).found
    denied = {"SCHEDULER_EGRESS_DENY": "127.0.0.0/8"}
    await one(served, "egress.target", denied, targets=closed)


def _answer_nonsense(listener: socket.socket) -> None:
    """Take two connections, for the first was only opened, and speak no TLS on the second."""
    listener.settimeout(10)
    for _ in range(2):
        taken, _ = listener.accept()
        with taken:
            taken.settimeout(10)
            if taken.recv(1):
                taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def test_a_proxy_that_calls_do_not_use_and_authorities_that_can_not_be_read(
    served: str, tmp_path: Path
) -> None:
    finding = await one(served, "egress.proxy", {"HTTPS_PROXY": "http://proxy:3128"})
    assert "HTTPS_PROXY" in finding.found
    absent = {"SCHEDULER_CA_FILE": str(tmp_path / "none.pem")}
    await one(served, "egress.ca_file", absent)


def ran(*switches: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "doctor", *switches],
        env={"PATH": "/usr/bin:/bin", "SCHEDULER_PROFILE": "development"} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_the_command_says_so_by_its_exit_code_and_as_json(served: str) -> None:
    assert COMMAND[0] == sys.executable
    well = await asyncio.to_thread(ran, DATABASE_URL=served)
    assert (well.returncode, well.stderr) == (0, ""), well.stdout
    assert well.stdout.endswith("0 faults, 0 warnings\n")
    warned = await asyncio.to_thread(
        ran, "--json", DATABASE_URL=served, SCHEDULER_REPLICAS_WANTED="3"
    )
    said = json.loads(warned.stdout)
    assert (warned.returncode, said["status"]) == (1, "warnings")
    assert [finding["check"] for finding in said["findings"]] == ["replicas.fewer"]


async def test_it_works_without_a_database_and_with_settings_that_can_not_be_read() -> None:
    away = await asyncio.to_thread(ran, DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert away.returncode == 2
    assert "FAULT    database.away" in away.stdout
    assert "not looked at: server, disk" in away.stdout
    unread = await asyncio.to_thread(ran, SCHEDULER_SLOTS="many", SCHEDULER_LEESE="3s")
    assert unread.returncode == 2
    assert unread.stdout.count("FAULT    settings.refused") == 2


async def test_a_transaction_pooler_on_the_way(served: str) -> None:
    async with a_pooler(served) as dsn:
        found = await findings(dsn)
        assert set(found) == {"server.session", "notices.deaf"}
        assert "statement_timeout, lock_timeout" in found["server.session"].found
        quiet = {"SCHEDULER_LISTEN": "false"}
        assert set(await findings(dsn, quiet)) == {"server.session"}
        await typed(served, *found["server.session"].fix.strip().split("; "))
        assert await findings(dsn, quiet) == {}
