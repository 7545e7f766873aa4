"""Sealing everything anew under the newest key, in batches that each are one transaction.

Promises that every value is, at every moment, stored under one key or the other: killed in the
middle, it is begun again. What can not be opened is counted and left as it is.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.secrecy import (
    IDENTITY,
    NAMED,
    SIGNING,
    Place,
    change_headers,
    change_target,
    place_of,
    place_of_target,
)
from scheduler_svc.store.claims import OVERRIDES
from scheduler_svc.store.pool import Connection, Pool, connection, transaction
from scheduler_svc.store.queries import statement
from scheduler_svc.store.timers import DEFINITION, NIL
from scheduler_svc.store.vault import KeyRing, Unopenable, is_sealed

BATCH = 200
PASSES_MAX = 3
"""A change under way may write what it read before a pass: the next pass finds it."""
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class Count(msgspec.Struct):
    """Of one kind: how many values there are, were sealed anew, and could not be opened."""

    kind: str
    total: int = 0
    sealed: int = 0
    unopenable: int = 0


class Table(msgspec.Struct, frozen=True):
    """A table with one sealed value a row: how it is read and written, and where a value stands."""

    read: str
    write: str
    begin: tuple[Any, ...]
    key: Callable[[Record], tuple[Any, ...]]
    place: Callable[[Record], str]


NAMED_SECRETS = Table(
    "secrets_to_reseal",
    "reseal_secret",
    ("", ""),
    lambda row: (row["namespace"], row["name"]),
    lambda row: place_of(row["namespace"], NAMED, row["name"]),
)
SIGNING_SECRETS = Table(
    "signing_secrets_to_reseal",
    "reseal_signing_secret",
    (NIL,),
    lambda row: (row["id"],),
    lambda row: place_of(row["namespace"], SIGNING, str(row["id"])),
)
IDENTITY_KEYS = Table(
    "identity_keys_to_reseal",
    "reseal_identity_key",
    ("",),
    lambda row: (row["id"],),
    lambda row: place_of("", IDENTITY, row["id"]),
)


async def reseal(pool: Pool, ring: KeyRing) -> list[Count]:
    """Go over everything until a pass finds nothing to do; return what became of each kind."""
    done: list[Count] = []
    for _ in range(PASSES_MAX):
        found = [
            await _table(pool, Pass(ring, "named secrets"), NAMED_SECRETS),
            await _table(pool, Pass(ring, "signing secrets"), SIGNING_SECRETS),
            await _table(pool, Pass(ring, "identity keys"), IDENTITY_KEYS),
            await _jobs(pool, Pass(ring, "secrets of jobs")),
            await _runs(pool, Pass(ring, "secrets of triggers")),
        ]
        before = done or [Count(count.kind) for count in found]
        done = [
            msgspec.structs.replace(now, sealed=then.sealed + now.sealed)
            for then, now in zip(before, found, strict=True)
        ]
        if not any(count.sealed for count in found):
            break
    return done


class Pass:
    """One look at all values of a kind."""

    def __init__(self, ring: KeyRing, kind: str) -> None:
        self.ring = ring
        self.count = Count(kind)

    def again(self, value: str, place: str) -> str:
        """Return a value under the newest key, or as it is where it is or must stay so."""
        self.count.total += 1
        if self.ring.is_newest(value):
            return value
        try:
            plain = self.ring.open(value, place) if is_sealed(value) else value.encode()
        except Unopenable:
            self.count.unopenable += 1
            return value
        self.count.sealed += 1
        return self.ring.seal(plain, place)

    def definition(self, row: Record) -> str:
        """Return a job's definition with its secrets under the newest key."""
        definition = DEFINITION.decode(row["definition"])
        place = place_of_target(row["namespace"], row["id"])
        target = change_target(definition.target, self._change(place))
        if target is definition.target:
            return str(row["definition"])
        return msgspec.json.encode(msgspec.structs.replace(definition, target=target)).decode()

    def overrides(self, row: Record) -> str:
        """Return what a trigger changed with its secrets under the newest key."""
        overrides = OVERRIDES.decode(row["overrides"])
        place = place_of_target(row["namespace"], row["job_id"])
        given = overrides.headers or {}
        headers = change_headers(given, self._change(place))
        if headers == given:
            return str(row["overrides"])
        return msgspec.json.encode(msgspec.structs.replace(overrides, headers=headers)).decode()

    def _change(self, place: Place) -> Callable[[str, str], str]:
        return lambda where, value: self.again(value, place(where))


async def _table(pool: Pool, work: Pass, table: Table) -> Count:
    last = table.begin
    while True:
        async with transaction(pool) as conn:
            rows = await conn.fetch(statement(table.read), *last, BATCH)
            for row in rows:
                again = work.again(row["sealed"], table.place(row))
                if again != row["sealed"]:
                    await conn.execute(statement(table.write), *table.key(row), again)
        if not rows:
            return work.count
        last = table.key(rows[-1])


async def _jobs(pool: Pool, work: Pass) -> Count:
    """Look at all definitions without a lock, and change those that need it under their timer's."""
    last = NIL
    while True:
        async with connection(pool) as conn:
            rows = await conn.fetch(statement("jobs_to_look_at"), last, BATCH)
        if not rows:
            return work.count
        last = rows[-1]["id"]
        look = Pass(work.ring, work.count.kind)
        changed = [row["id"] for row in rows if look.definition(row) != row["definition"]]
        work.count.total += look.count.total
        work.count.unopenable += look.count.unopenable
        if changed:
            async with transaction(pool) as conn:
                work.count.sealed += await _change_jobs(conn, work.ring, changed)


async def _change_jobs(conn: Connection, ring: KeyRing, ids: list[UUID]) -> int:
    """Change jobs as an edit does, their timers locked first; revision and ETag stay."""
    work = Pass(ring, "")
    await conn.fetch(statement("lock_timers_to_reseal"), ids)
    for row in await conn.fetch(statement("jobs_to_reseal"), ids):
        again = work.definition(row)
        if again != row["definition"]:
            await conn.execute(statement("reseal_job"), row["id"], again)
    return work.count.sealed


async def _runs(pool: Pool, work: Pass) -> Count:
    last: tuple[datetime, UUID] = (FIRST, NIL)
    while True:
        async with transaction(pool) as conn:
            rows = await conn.fetch(statement("runs_to_reseal"), *last, BATCH)
            for row in rows:
                again = work.overrides(row)
                if again != row["overrides"]:
                    key = row["scheduled_for"], row["id"]
                    await conn.execute(statement("reseal_run"), *key, again)
        if not rows:
            return work.count
        last = rows[-1]["scheduled_for"], rows[-1]["id"]
