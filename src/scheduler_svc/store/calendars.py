"""The calendars of runs a minute: locked, changed by the domain, and written back."""

from collections.abc import Collection, Sequence

import msgspec
from asyncpg import Record

from scheduler_svc.domain.deferral import Deferral
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.run_calendar import Calendar
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

PutOff = tuple[ClaimedRun, int, Deferral | None]
"""A claimed run, the instant until which it waits, and what the ledger says of it from now on."""


async def lock_calendars(
    conn: Connection, namespaces: Collection[str], *, now_ms: int
) -> dict[str, Calendar]:
    """Lock those that are there and that nobody is at."""
    rows = await conn.fetch(statement("lock_calendars"), list(namespaces))
    return {row["namespace"]: _calendar(row, now_ms) for row in rows}


async def make_calendars(conn: Connection, namespaces: Collection[str]) -> None:
    """Make those that are missing."""
    await conn.execute(statement("make_calendars"), list(namespaces))


async def wait_for_calendar(conn: Connection, namespace: str, *, now_ms: int) -> Calendar:
    """Make the calendar where it is missing, and lock it."""
    await make_calendars(conn, [namespace])
    row = await conn.fetchrow(statement("wait_for_calendar"), namespace)
    if row is None:
        raise RuntimeError("a calendar vanished that was just made")
    return _calendar(row, now_ms)


async def read_calendar(conn: Connection, namespace: str, *, now_ms: int) -> Calendar:
    """Read a calendar; an empty one where there is none."""
    row = await conn.fetchrow(statement("read_calendar"), namespace)
    return Calendar(now_ms=now_ms) if row is None else _calendar(row, now_ms)


async def write_calendar(conn: Connection, namespace: str, calendar: Calendar) -> None:
    """Write a locked calendar back, where it was changed."""
    if calendar.changed:
        await conn.execute(
            statement("write_calendar"),
            namespace,
            calendar.first,
            calendar.given,
            calendar.past,
        )


async def put_off(conn: Connection, runs: Sequence[PutOff], *, replica: object) -> None:
    """Put claimed runs back to wait, each until its instant."""
    await conn.execute(
        statement("put_off_runs"),
        [claim.id for claim, _, _ in runs],
        [instant_at(claim.scheduled_ms) for claim, _, _ in runs],
        [claim.attempt for claim, _, _ in runs],
        [instant_at(at) for _, at, _ in runs],
        [None if note is None else msgspec.json.encode(note).decode() for _, _, note in runs],
        replica,
    )


def _calendar(row: Record, now_ms: int) -> Calendar:
    return Calendar(row["first"], row["given"], row["past"], now_ms=now_ms)
