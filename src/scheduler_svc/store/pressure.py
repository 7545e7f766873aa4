"""Keys in the store: their limits, their breakers, and the runs that wait because of them.

Each function is one statement on the caller's connection. A key's row is locked before runs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.deferral import Reason
from scheduler_svc.domain.ids import EPOCH, epoch_ms, instant_at
from scheduler_svc.domain.pressure import (
    Breaker,
    Ceiling,
    Grant,
    Key,
    KeyState,
)
from scheduler_svc.domain.runs import BACKGROUND_BELOW
from scheduler_svc.store.claims import RANK_MAX, RANK_MIN, ClaimedRun, claimed
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

STATES_MAX = 10_000
"""Keys with limits or an open breaker that a replica reads; the API makes no more."""


class PressedKey(msgspec.Struct, frozen=True):
    """A key with waiting runs: when its first is due, and whether some are of the past."""

    key: Key
    first_ms: int
    background: bool


class PressedRun(msgspec.Struct, frozen=True):
    """A run claimed under its key, and what it had waited for."""

    claim: ClaimedRun
    key: Key
    reason: Reason | None


class Back(msgspec.Struct, frozen=True):
    """A claimed run that goes back to wait under a key."""

    claim: ClaimedRun
    key: Key
    reason: Reason
    counted: bool = True


async def pressed_keys(conn: Connection, after: Key, *, at_most: int) -> list[PressedKey]:
    """Return keys with waiting runs, in order, beyond one."""
    rows = await conn.fetch(statement("pressed_keys"), after.namespace, after.name, at_most)
    return [PressedKey(Key(ns, key), epoch_ms(at), past) for ns, key, at, past in rows]


async def claim_pressed(
    conn: Connection,
    grants: Mapping[Key, Grant],
    *,
    replica: UUID,
    now_ms: int,
    background: bool = False,
) -> list[PressedRun]:
    """Take of each key what it was granted; with `background` only what is of the past."""
    ranks = (RANK_MIN, BACKGROUND_BELOW - 1) if background else (BACKGROUND_BELOW, RANK_MAX)
    rows = await conn.fetch(
        statement("claim_pressed_runs"),
        *_names(grants),
        [grant.count for grant in grants.values()],
        [instant_at(grant.horizon_ms) for grant in grants.values()],
        *ranks,
        replica,
        instant_at(now_ms),
    )
    found = [
        PressedRun(
            claimed(row, keyed=True, background=background),
            Key(row["namespace"], row["concurrency_key"]),
            row["reason"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda run: run.claim.fire_ms)


async def defer(conn: Connection, back: Sequence[Back], *, replica: UUID, now_ms: int) -> set[UUID]:
    """Put claimed runs back to wait under their keys, the attempt uncounted."""
    rows = await conn.fetch(
        statement("defer_runs"),
        *_claims([one.claim for one in back]),
        [one.key.name for one in back],
        [one.reason for one in back],
        [int(one.counted) for one in back],
        replica,
        instant_at(now_ms),
    )
    return {row[0] for row in rows}


async def note_rates(conn: Connection, claims: Sequence[ClaimedRun]) -> None:
    """Say of runs just claimed that their key's rate holds them until they fire."""
    await conn.fetch(
        statement("note_rates"), *_claims(claims), [instant_at(claim.fire_ms) for claim in claims]
    )


async def end_deferred(
    conn: Connection,
    ended: Sequence[tuple[ClaimedRun, str]],
    *,
    replica: UUID,
    now_ms: int,
) -> None:
    """End claimed runs whose time is over, each with its reason; no attempt was made."""
    await conn.fetch(
        statement("end_deferred"),
        *_claims([claim for claim, _ in ended]),
        [reason for _, reason in ended],
        replica,
        instant_at(now_ms),
    )


async def stamp(
    conn: Connection, claims: Sequence[tuple[ClaimedRun, Key]], *, replica: UUID
) -> None:
    """Count calls under way against the limit that their key has got."""
    await conn.fetch(
        statement("stamp_runs"),
        *_claims([claim for claim, _ in claims]),
        [key.name for _, key in claims],
        replica,
    )


async def note_breaker(conn: Connection, key: Key, *, at_most: int) -> int:
    """Say of waiting runs that they wait for the breaker; return of how many."""
    return len(await conn.fetch(statement("note_breaker"), key.namespace, key.name, at_most))


async def unkey(conn: Connection, job_id: UUID) -> None:
    """Let the waiting runs of a job be judged anew, for its key may be another now."""
    await conn.execute(statement("unkey_runs"), job_id)


async def read_keys(conn: Connection, keys: Sequence[Key]) -> dict[Key, KeyState]:
    """Return what the rows of these keys say, without a lock."""
    rows = await conn.fetch(statement("read_keys"), *_names(keys))
    return {state.key: state for state in map(state_of, rows)}


async def lock_keys(conn: Connection, keys: Sequence[Key]) -> dict[Key, KeyState]:
    """Lock the rows of these keys and return what they say; those others hold are missing."""
    rows = await conn.fetch(statement("lock_keys"), *_names(keys))
    return {state.key: state for state in map(state_of, rows)}


async def running_of(conn: Connection, keys: Sequence[Key]) -> dict[Key, int]:
    """Count what runs under keys whose rows this transaction holds."""
    rows = await conn.fetch(statement("running_of_keys"), *_names(keys))
    return {Key(namespace, key): running for namespace, key, running in rows}


async def make_keys(conn: Connection, keys: Sequence[Key]) -> None:
    """Make rows to lock for keys under limits that hold by default."""
    await conn.execute(statement("make_keys"), *_names(keys))


async def pressing(conn: Connection) -> list[KeyState]:
    """Return all keys with limits of their own or a breaker that is not closed."""
    return [state_of(row) for row in await conn.fetch(statement("pressing_keys"), STATES_MAX)]


async def write_rates(conn: Connection, free_ms: Mapping[Key, float]) -> None:
    """Keep the earliest instant of the next call of keys whose rows this transaction holds."""
    await conn.execute(
        statement("write_rates"),
        *_names(free_ms),
        [EPOCH + timedelta(milliseconds=at) for at in free_ms.values()],
    )


async def prune_keys(conn: Connection, *, before_ms: int) -> None:
    """Forget keys of which nothing is to be said any more, whose rate was free by then."""
    await conn.execute(statement("prune_keys"), instant_at(before_ms))


def state_of(row: Record) -> KeyState:
    """Make a key's state of its row."""
    return KeyState(
        key=Key(row["namespace"], row["key"]),
        configured=row["configured"],
        ceiling=Ceiling(row["max_parallel"], row["max_per_second"]),
        rate_free_ms=_exact_ms(row["rate_free_at"]),
        breaker=Breaker(
            state=row["breaker"],
            failures=row["failures"],
            opens=row["opens"],
            opened_ms=_ms(row["opened_at"]),
            retry_ms=_ms(row["retry_at"]),
        ),
    )


def _ms(at: datetime | None) -> int | None:
    return None if at is None else epoch_ms(at)


def _exact_ms(at: datetime | None) -> float | None:
    return None if at is None else (at - EPOCH) / timedelta(milliseconds=1)


def _names(keys: Sequence[Key] | Mapping[Key, object]) -> tuple[list[str], list[str]]:
    return [key.namespace for key in keys], [key.name for key in keys]


def _claims(claims: Sequence[ClaimedRun]) -> tuple[list[UUID], list[datetime], list[int]]:
    return (
        [claim.id for claim in claims],
        [instant_at(claim.scheduled_ms) for claim in claims],
        [claim.attempt for claim in claims],
    )
