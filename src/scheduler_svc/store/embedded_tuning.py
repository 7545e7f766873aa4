"""How the embedded PostgreSQL is made and tuned: two command lines, as data.

Promises a durable server for `make run` and a fast, forgetful one for tests.
Will not touch the files inside the data folder: whoever edits postgresql.conf there keeps the edit,
except for the names listed here, which win because they are given on the command line.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")
SUPERUSER = "postgres"
PORT = 5432  # names the socket file only; nothing listens on TCP

COMMON = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    # Timers and in-flight runs are updated all the time: vacuum them soon and in small bites.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_cost_limit": "1000",
    "max_locks_per_transaction": "256",  # a statement over all daily partitions locks each
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
    "logging_collector": "off",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
BUFFERS_MIN_MIB = 256
BUFFERS_MAX_MIB = 1024
BUFFERS_SHARE = 8
"""A durable server takes an eighth of the memory within these bounds: a day of a million runs that
does not fit is read and written a page a fire."""
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def initdb_command(binaries: Path, target: Path, *, durable: bool) -> list[str]:
    """Make a cluster whose order of text is the same on every machine."""
    return [
        str(binaries / "initdb"),
        f"--pgdata={target}",
        f"--username={SUPERUSER}",
        "--auth=trust",  # the socket lies in a folder that only the server's user may enter
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]


def postgres_command(binaries: Path, cluster: Path, sockets: Path, *, durable: bool) -> list[str]:
    """Serve the cluster in the foreground, with its socket in the given folder."""
    return [
        str(binaries / "postgres"),
        "-D",
        str(cluster),
        *_options({"unix_socket_directories": _quoted(sockets)}),
        *_options(COMMON | (DURABLE | _buffers() if durable else FORGETFUL)),
    ]


def buffers_mib(memory_bytes: int) -> int:
    """Return how much a durable server keeps of its tables, on a machine of so much memory."""
    return min(max(memory_bytes // BUFFERS_SHARE // 2**20, BUFFERS_MIN_MIB), BUFFERS_MAX_MIB)


def _buffers() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # of a container, where there is one with a bound
        memory = min(memory, int(CONTAINER_MEMORY.read_text()))
    return {"shared_buffers": f"{buffers_mib(memory)}MB"}


def _options(values: dict[str, str]) -> Iterator[str]:
    for name, value in values.items():
        yield "-c"
        yield f"{name}={value}"


def _quoted(path: Path) -> str:
    """Quote for a list setting, in which commas and spaces would divide."""
    return '"' + str(path).replace('"', '""') + '"'
