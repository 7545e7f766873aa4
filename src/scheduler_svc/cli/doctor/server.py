"""The server's own settings, and whether ours reach a session: what each promise hangs on."""

from collections.abc import Mapping

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.service.connect import ENGINE_POOL
from scheduler_svc.store import doctor
from scheduler_svc.store.doctor import ServerSetting
from scheduler_svc.store.pool import Connection

VERSIONS = range(15, 19)
MEBIBYTE = 1024**2
WAL_MIN = 512 * MEBIBYTE
BUFFERS_MIN = 128 * MEBIBYTE
BESIDE = 2
"""Connections of a replica besides its pools: the one that listens, and one for commands."""
USED_MAX = 0.8

DURABLE = {
    "fsync": "a crash of the host may destroy the database",
    "full_page_writes": "a crash of the host in the middle of a write may destroy a page",
    "synchronous_commit": "a crash of the server forgets runs that were settled: they are sent"
    " twice",
}
VACUUM = {
    "autovacuum": "timers and runs are updated all the time: dead rows pile up until the claim"
    " is slow",
    "track_counts": "without counts autovacuum does not know where to work",
}
OURS = {
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",
    "jit": "off",
}


async def look(around: Surroundings, conn: Connection) -> list[Finding]:
    """Judge version, durability, vacuum, sizes, and our session."""
    settings = await doctor.server_settings(conn)
    now = await doctor.connections(conn)
    found = [*_version(settings), *_switches(settings), *_sizes(settings), *_session(settings)]
    if now.recovering:
        found.append(
            fault(
                "server.standby",
                "this server is in recovery: it is a standby, or a restore that has not ended",
                "nothing can be written to it",
                "name the primary in DATABASE_URL (target_session_attrs=read-write), or end the"
                " recovery: SELECT pg_promote();",
            )
        )
    return found + _connections(around, settings, now)


def _version(settings: Mapping[str, ServerSetting]) -> list[Finding]:
    number = int(settings["server_version_num"].setting)
    if number // 10_000 in VERSIONS:
        return []
    return [
        fault(
            "server.version",
            f"PostgreSQL {number // 10_000}",
            "the service is verified on 15 to 18",
            "move the database to PostgreSQL 18 (docs/backup.md)",
        )
    ]


def _switches(settings: Mapping[str, ServerSetting]) -> list[Finding]:
    return [
        fault(
            f"server.{name}",
            f"{name} is off",
            why,
            f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();",
        )
        for name, why in (DURABLE | VACUUM).items()
        if settings[name].setting == "off"
    ]


def _sizes(settings: Mapping[str, ServerSetting]) -> list[Finding]:
    found = []
    if settings["max_wal_size"].bytes < WAL_MIN:
        found.append(
            warning(
                "server.max_wal_size",
                f"max_wal_size is {settings['max_wal_size'].bytes // MEBIBYTE} MB",
                "under load checkpoints come one after the other, and each makes fires late",
                "ALTER SYSTEM SET max_wal_size = '2GB'; SELECT pg_reload_conf();",
            )
        )
    if settings["shared_buffers"].bytes < BUFFERS_MIN:
        found.append(
            warning(
                "server.shared_buffers",
                f"shared_buffers is {settings['shared_buffers'].bytes // MEBIBYTE} MB",
                "timers and today's runs do not stay in memory",
                "ALTER SYSTEM SET shared_buffers = '256MB'; and restart the server",
            )
        )
    return found


def _session(settings: Mapping[str, ServerSetting]) -> list[Finding]:
    """See whether what we ask for at the start of a session is what it has."""
    wanted = {
        "statement_timeout": "10000",
        "lock_timeout": "5000",
        "idle_in_transaction_session_timeout": "5000",
        "jit": "off",
    }
    lost = [name for name, value in wanted.items() if settings[name].setting != value]
    if not lost:
        return []
    orders = " ".join(f"ALTER ROLE CURRENT_USER SET {name} = '{OURS[name]}';" for name in lost)
    return [
        warning(
            "server.session",
            f"{', '.join(lost)} did not arrive: something between us and the server drops them",
            "a frozen replica keeps its rows locked, a statement may run for ever",
            orders,
        )
    ]


def _connections(
    around: Surroundings, settings: Mapping[str, ServerSetting], now: doctor.Connections
) -> list[Finding]:
    ours = around.settings
    reserved = sum(
        int(settings[name].setting)
        for name in ("superuser_reserved_connections", "reserved_connections")
        if name in settings
    )
    room = int(settings["max_connections"].setting) - reserved
    replicas = max(ours.workers, ours.replicas_wanted)
    wanted = replicas * (ours.pool_size + ENGINE_POOL + BESIDE)
    fitting = max(2, room // replicas - ENGINE_POOL - BESIDE)
    found = []
    if wanted > room:
        found.append(
            fault(
                "server.max_connections",
                f"{replicas} replicas may open {wanted} connections, and the server has {room}",
                "the last replicas can not connect, and claim nothing",
                f"ALTER SYSTEM SET max_connections = {wanted + reserved + 20}; and restart the"
                f" server; or SCHEDULER_POOL_SIZE={fitting}",
            )
        )
    if now.clients > USED_MAX * room:
        found.append(
            warning(
                "server.connections",
                f"{now.clients} of {room} connections are in use, {now.ours} of them ours",
                "when they are all in use a replica that loses its own can not come back",
                "SELECT application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2"
                " ORDER BY 3 DESC; and end what is idle, or raise max_connections",
            )
        )
    return found
