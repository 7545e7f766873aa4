"""Which database this is, and which namespaces are held: one typed function a statement.

What is read of the server itself is left out where we may not ask.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from scheduler_svc.domain.holds import Hold, Identity, Missed, Reason
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.settlements import Held

JUDGE_SECONDS = 60.0


class Continuity(NamedTuple):
    """What the database remembers, and whether anything is held."""

    alive_ms: int | None
    mine_ms: int | None
    held: bool


class Stored(NamedTuple):
    """The row of continuity, locked."""

    alive_ms: int
    identity: Identity
    held_ms: int | None


class Unparked(msgspec.Struct, frozen=True):
    """So many timers up to this key, and when the earliest of them is due."""

    count: int
    last: UUID
    first_ms: int | None


class MissedWork(msgspec.Struct, frozen=True):
    """Jobs with an occurrence that has passed, the oldest of these, and unfinished runs."""

    overdue: int
    oldest: datetime | None
    runs: int


async def continuity(conn: Connection, replica: UUID) -> Continuity:
    """Read what tells whether the database is still the one it was."""
    row = await conn.fetchrow(statement("read_continuity"), replica)
    if row is None:
        return Continuity(None, None, held=False)
    return Continuity(_ms(row["alive_at"]), _ms(row["mine"]), held=row["held"])


async def lock_continuity(conn: Connection, *, now_ms: int) -> Stored:
    """Read and lock it, made where it was not there."""
    await conn.execute(statement("begin_judging"))
    await conn.execute(statement("begin_continuity"), instant_at(now_ms), timeout=JUDGE_SECONDS)
    row = await conn.fetchrow(statement("lock_continuity"), timeout=JUDGE_SECONDS)
    if row is None:
        raise RuntimeError("the row of continuity vanished under its lock")
    identity = Identity(row["identity"], row["line"])
    return Stored(epoch_ms(row["alive_at"]), identity, _ms(row["held_at"]))


async def write_continuity(
    conn: Connection, identity: Identity, *, now_ms: int, held: bool
) -> None:
    """Write down which database this is, under the lock."""
    await conn.execute(
        statement("write_continuity"), instant_at(now_ms), identity.place, identity.line, held
    )


async def this_database(conn: Connection) -> Identity:
    """Return which database this is; outside a transaction, for the server may refuse."""
    place: str = await conn.fetchval(statement("this_place"))
    try:
        row = await conn.fetchrow(statement("this_server"))
    except asyncpg.InsufficientPrivilegeError:
        row = None
    return Identity(place, None) if row is None else Identity(f"{row[0]}/{place}", row[1])


async def place(
    conn: Connection, reason: Reason, *, now_ms: int, alive_ms: int | None
) -> list[str]:
    """Hold all that is in doubt; return the namespaces."""
    name = "hold_all" if reason == "restored" else "hold_overdue"
    alive_at = None if alive_ms is None else instant_at(alive_ms)
    rows = await conn.fetch(statement(name), instant_at(now_ms), alive_at, timeout=JUDGE_SECONDS)
    return [row[0] for row in rows]


async def all_holds(conn: Connection) -> dict[str, Hold]:
    """Return every namespace that is held, by name."""
    rows = await conn.fetch(statement("all_holds"))
    return {row["namespace"]: Hold(**dict(row)) for row in rows}


async def get_hold(conn: Connection, namespace: str) -> Hold | None:
    """Return how a namespace is held, or None."""
    row = await conn.fetchrow(statement("get_hold"), namespace)
    return None if row is None else Hold(**dict(row))


async def is_held(conn: Connection, namespace: str) -> bool:
    """Tell whether a namespace waits for a word."""
    hold = await get_hold(conn, namespace)
    return hold is not None and hold.missed is None


async def share(conn: Connection, namespaces: Sequence[str]) -> dict[str, Hold]:
    """Return which of these are held, and keep it so until the transaction ends."""
    rows = await conn.fetch(statement("share_holds"), namespaces)
    return {row["namespace"]: Hold(**dict(row)) for row in rows}


async def decide(
    conn: Connection, namespace: str, missed: Missed, *, now_ms: int, window_ms: int
) -> Hold | None:
    """Say what becomes of what was missed; None where it is not held, or that was said already."""
    row = await conn.fetchrow(
        statement("decide_hold"), namespace, missed, instant_at(now_ms), window_ms
    )
    return None if row is None else Hold(**dict(row))


async def lock_decided(conn: Connection, seen: Sequence[str]) -> Hold | None:
    """Return and lock the next namespace to let go."""
    row = await conn.fetchrow(statement("lock_decided"), seen)
    return None if row is None else Hold(**dict(row))


async def park_timers(conn: Connection, job_ids: Sequence[UUID]) -> None:
    """Take due timers, locked by this transaction, out of the claim's way."""
    await conn.execute(statement("park_timers"), job_ids)


async def unpark_timers(conn: Connection, hold: Hold, after: UUID, *, batch: int) -> Unparked:
    """Put parked timers back before the claim, in the order of their keys."""
    rows = await conn.fetch(statement("unpark_timers"), hold.namespace, after, batch)
    last = max((row["job_id"] for row in rows), default=after)
    return Unparked(len(rows), last, _ms(min((row["fire_at"] for row in rows), default=None)))


async def hold_runs(conn: Connection, runs: Sequence[Held], *, replica: UUID) -> None:
    """Put claimed runs aside until somebody decided."""
    await conn.fetch(
        statement("hold_runs"),
        [run.id for run in runs],
        [instant_at(run.scheduled_ms) for run in runs],
        [run.attempt for run in runs],
        replica,
    )


async def let_runs_go(conn: Connection, hold: Hold, *, now_ms: int, batch: int) -> int:
    """Put held runs back before the claim, or end them as skipped; return how many."""
    if hold.missed == "skip":
        rows = await conn.fetch(
            statement("skip_runs"), hold.namespace, hold.decided_at, instant_at(now_ms), batch
        )
    else:
        rows = await conn.fetch(
            statement("unhold_runs"), hold.namespace, hold.decided_at, hold.window_ms, batch
        )
    return len(rows)


async def cancel_ranges(conn: Connection, namespace: str, *, now_ms: int) -> None:
    """End the backfills and replays by filter of a namespace whose missed work is skipped."""
    await conn.execute(statement("cancel_held_backfills"), namespace, instant_at(now_ms))
    await conn.execute(statement("cancel_held_replays"), namespace, instant_at(now_ms))


async def is_left(conn: Connection, hold: Hold, *, now_ms: int) -> bool:
    """Tell whether anything of a namespace is still to be let go."""
    left: bool = await conn.fetchval(
        statement("held_left"), hold.namespace, hold.decided_at, instant_at(now_ms)
    )
    return left


async def end(conn: Connection, namespace: str) -> None:
    """A namespace is as free as any other."""
    await conn.execute(statement("end_hold"), namespace)


async def missed_of(conn: Connection, namespace: str, *, now_ms: int) -> MissedWork:
    """Count what a held namespace has missed."""
    row = await conn.fetchrow(statement("missed_of"), namespace, instant_at(now_ms))
    return MissedWork(0, None, 0) if row is None else MissedWork(*row)


async def count(conn: Connection) -> int:
    """Return how many namespaces are held."""
    number: int = await conn.fetchval(statement("count_holds"))
    return number


def _ms(at: datetime | None) -> int | None:
    return None if at is None else epoch_ms(at)
