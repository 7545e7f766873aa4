"""Notices between replicas: LISTEN and NOTIFY, an accelerator only.

With it cut everything still holds, a poll later. A payload is a word and its argument.

    wake MS         work is due at this epoch millisecond, perhaps earlier than you think
    cancel RUN      end this run, whoever works on it
    forget JOB      drop what you hold of this job and have not sent: it is decided anew
    release JOB     put back what you hold of this job and have not sent: it goes out as now defined
    secrets NAME    read the secrets of this namespace anew
    namespace NAME  its settings changed: read them
    key ID          this API key was revoked or will end: ask for it again before it opens anything
    doctor TOKEN    whether notices are heard; means nothing to a replica
    keys -          limits or breakers of keys are not what you know: read them again
    events -        something was told on the stream of events
    sql -           something was asked for in SQL: carry it out (said by the functions themselves)
    watch -         somebody begins to watch that stream
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import asyncpg

from scheduler_svc.store.chime import Turn, until_chime
from scheduler_svc.store.hosts import Hosts
from scheduler_svc.store.lineage import Lineage
from scheduler_svc.store.pool import Connection, is_database_away
from scheduler_svc.store.queries import statement

CHANNEL = "scheduler"
DOCTOR = "doctor"
ALIVE_SECONDS = 2.0
ALIVE_TIMEOUT = 2.0
RECONNECT_SECONDS = 1.0
CONNECT_TIMEOUT = 5.0

Handler = Callable[[str, str], None]


async def wake(conn: Connection, at_ms: int) -> None:
    """Tell every replica, at commit, that work is due at an instant."""
    await conn.execute(statement("notify"), wake_text(at_ms))


def wake_text(at_ms: int) -> str:
    """Return the notice that work is due at an instant."""
    return f"wake {at_ms}"


async def cancel(conn: Connection, run_id: UUID) -> None:
    """Tell the holder of a run, at commit, to end it."""
    await conn.execute(statement("notify"), f"cancel {run_id}")


async def secrets_changed(conn: Connection, namespace: str) -> None:
    """Tell every replica, at commit, that a secret of a namespace is another or gone."""
    await conn.execute(statement("notify"), f"secrets {namespace}")


async def namespace_changed(conn: Connection, name: str) -> None:
    """Tell every replica, at commit, that a namespace has other settings."""
    await conn.execute(statement("notify"), f"namespace {name}")


async def keys(conn: Connection) -> None:
    """Tell every replica, at commit, that limits or breakers of keys have changed."""
    await conn.execute(statement("notify"), "keys -")


async def doctor(conn: Connection, token: str) -> None:
    """Say a word to whoever waits for it, and to nobody else."""
    await conn.execute(statement("notify"), f"{DOCTOR} {token}")


async def edited(conn: Connection, job_id: UUID, *, timer_moved: bool) -> None:
    """Tell the holders of a job's unsent runs, at commit, to give them up.

    `timer_moved`: the change set the timer anew from now (schedule edited, paused, deleted), so a
    held occurrence is the new timer's to name. Else the timer stands beyond it, and it goes back to
    `due` to be sent under the new definition.
    """
    word = "forget" if timer_moved else "release"
    await conn.execute(statement("notify"), f"{word} {job_id}")


async def key_changed(conn: Connection, key_id: UUID) -> None:
    """Tell every replica, at commit, that a key is not what it was."""
    await conn.execute(statement("notify"), f"key {key_id}")


async def events_told(conn: Connection) -> None:
    """Tell every replica, at commit, that the stream of events has more."""
    await conn.execute(statement("notify"), "events -")


async def watch_begun(conn: Connection) -> None:
    """Tell every replica, at commit, that somebody watches the stream of events."""
    await conn.execute(statement("notify"), "watch -")


async def listen(
    dsn: str, on_notice: Handler, *, application_name: str, lineage: Lineage | None = None
) -> None:
    """Listen for ever on a connection of its own, opening it anew whenever it is lost.

    After each opening the handler is told `wake 0`: what was missed meanwhile is looked for. While
    there is no connection it is told so every RECONNECT_SECONDS, which makes it poll.
    """
    hosts = Hosts(dsn, lineage)
    while True:
        try:
            conn = await hosts.connect(
                timeout=CONNECT_TIMEOUT,
                command_timeout=ALIVE_TIMEOUT,
                server_settings={"application_name": application_name},
            )
            try:
                await _hear(conn, on_notice)
            finally:
                conn.terminate()
        except Exception as error:
            if not isinstance(error, asyncpg.PostgresError) and not is_database_away(error):
                raise
        on_notice("wake", "0")
        await asyncio.sleep(RECONNECT_SECONDS)


async def _hear(conn: "asyncpg.Connection[asyncpg.Record]", on_notice: Handler) -> None:
    """Pass on what is heard, until the connection ends or the server does not answer."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def heard(_conn: object, _pid: int, _channel: str, payload: object) -> None:
        word, _, argument = str(payload).partition(" ")
        on_notice(word, argument)

    conn.add_termination_listener(lambda _conn: ended.set())
    await conn.add_listener(CHANNEL, heard)
    on_notice("wake", "0")
    while not conn.is_closed():
        try:
            async with asyncio.timeout(until_chime(loop.time(), ALIVE_SECONDS, Turn.LISTEN)):
                await ended.wait()
        except TimeoutError:
            await conn.execute("SELECT 1")
