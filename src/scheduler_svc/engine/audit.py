"""The audit log's upkeep: sealing what was written, and pruning what is too old.

Promises that what is committed is sealed within about a second by whichever replica is there, in
one chain; and that nothing of it is passed over, however late it commits. One replica at a time
holds the chain, and the others do not wait for it. A chain that does not end where its mark says is
told of, and gone on with: `audit verify` finds the place.
"""

import asyncio

import msgspec

from scheduler_svc.domain.audit import ENGINE, Action, Draft, Entry, Resource
from scheduler_svc.domain.audit_chain import FIRST, Link, Sealed, SealKey, is_genuine, mark, seal
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import EPOCH, instant_at
from scheduler_svc.engine.glance import UNSEALED_LATE_MS, bell_for, is_there
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import audit
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.pool import Connection, connection, is_database_away, transaction

SEAL_SECONDS = 1.0
SEAL_BATCH = 100
AT_ONCE = 25
"""Entries hashed before the loop may turn to others: half a millisecond or so."""
WHOLE_SECONDS = 60.0
"""So often all entries are looked for, however late they commit."""
PRUNE_SECONDS = 3600.0
PRUNE_BATCH = 2000
BROKEN_SECONDS = 60.0
EVERY = "*"


class AuditRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the log is kept: the keys of its codes, newest first, and for how long."""

    keys: tuple[SealKey, ...] = ()
    retention_ms: int = 400 * 86_400_000


class Sealing(msgspec.Struct, kw_only=True):
    """When everything was last looked for, and when a broken chain was last told of."""

    whole_at: float = float("-inf")
    broken_at: float = float("-inf")


async def seals(parts: Parts, rules: AuditRules) -> None:
    """Seal what was written, for ever."""
    sealing, bell = Sealing(), bell_for(parts, "unsealed")
    while True:
        until_whole = sealing.whole_at + WHOLE_SECONDS - parts.clock.monotonic()
        await bell.rest(max(SEAL_SECONDS, until_whole), Turn.UPKEEP)
        bell.clear()
        try:
            if _is_whole(parts, sealing) or await is_there(parts, "unsealed"):
                await seal_all(parts, rules, sealing)
        except Exception as error:
            if not is_database_away(error):
                raise


async def seal_all(parts: Parts, rules: AuditRules, sealing: Sealing) -> int:
    """Seal what is there, batch by batch; return how much that was.

    Most looks begin a little before now: entries that were taken out lie before it, and cost where
    an old snapshot keeps them from being forgotten.
    """
    now = parts.clock.monotonic()
    whole = _is_whole(parts, sealing)
    since = EPOCH if whole else instant_at(max(0, parts.clock.now_ms() - UNSEALED_LATE_MS))
    count = 0
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        found = await audit.any_unsealed(conn, since=since)
    while found:
        async with transaction(parts.pool, seconds=parts.limits.database_seconds) as conn:
            if not await audit.try_lock(conn):
                return count
            entries = await audit.take(conn, since=since, batch=SEAL_BATCH)
            sealed = await _sealed(parts, conn, rules, sealing, entries) if entries else []
        if sealed:
            head = sealed[-1].link
            parts.on_event(
                EventName.AUDIT_SEALED, seq=head.seq, hash=head.hash.hex(), entries=len(sealed)
            )
        count += len(sealed)
        found = len(sealed) == SEAL_BATCH
    if whole:
        sealing.whole_at = now
    return count


def _is_whole(parts: Parts, sealing: Sealing) -> bool:
    return parts.clock.monotonic() >= sealing.whole_at + WHOLE_SECONDS


async def _sealed(
    parts: Parts, conn: Connection, rules: AuditRules, sealing: Sealing, entries: list[Entry]
) -> list[Sealed]:
    """Put entries at the end of the chain and move its mark."""
    marks = await audit.marks(conn)
    last = await audit.last(conn)
    head = marks.get("head", FIRST)
    if (fault := _fault(head, last, marks.get("start", FIRST), rules)) is not None:
        now = parts.clock.monotonic()
        if now >= sealing.broken_at + BROKEN_SECONDS:
            sealing.broken_at = now
            parts.on_event(EventName.AUDIT_BROKEN, seq=head.seq, detail=fault)
    # A number that somebody else took is left to them: the chain still tells that they did.
    before = head if last is None else Link(max(head.seq, last.seq), head.hash)
    sealed: list[Sealed] = []
    for number, entry in enumerate(entries, 1):
        sealed.append(seal(entry, before, before.seq + 1, rules.keys))
        before = sealed[-1].link
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    await audit.append(conn, sealed)
    await audit.put_mark(conn, "head", mark("head", before, rules.keys))
    return sealed


def _fault(head: Link, last: Link | None, start: Link, rules: AuditRules) -> str | None:
    """Say what is wrong with the end of the chain; None where it ends as its mark says."""
    end = start if last is None else last
    if (end.seq, end.hash) != (head.seq, head.hash):
        return f"the log ends at {end.seq}, and should at {head.seq}"
    if is_genuine("head", head, rules.keys) is False:
        return "the mark of the end was not made with the key that it names"
    return None


async def prunes(parts: Parts, rules: AuditRules) -> None:
    """Prune what is older than the retention, for ever."""
    while True:
        await asyncio.sleep(PRUNE_SECONDS * (0.5 + parts.rand()) / 10)
        try:
            await prune_all(parts, rules)
        except Exception as error:
            if not is_database_away(error):
                raise
        await asyncio.sleep(PRUNE_SECONDS * 0.9)


async def prune_all(parts: Parts, rules: AuditRules) -> int:
    """Remove what is too old, batch by batch; return how many entries there were."""
    older_than = instant_at(max(0, parts.clock.now_ms() - rules.retention_ms))
    count, more = 0, True
    while more:
        async with transaction(parts.pool, seconds=parts.limits.database_seconds) as conn:
            if not await audit.try_lock(conn):
                return count
            gone = await audit.prune(conn, older_than=older_than, batch=PRUNE_BATCH)
            if gone is None:
                return count
            link, pruned = gone
            await audit.put_mark(conn, "start", mark("start", link, rules.keys))
            await audit.insert(conn, _pruned(link, pruned))
        parts.on_event(EventName.AUDIT_PRUNED, seq=link.seq, entries=pruned)
        count += pruned
        more = pruned == PRUNE_BATCH
    return count


def _pruned(link: Link, pruned: int) -> Draft:
    """Write the entry of a pruning: what went is known by where it ended."""
    after = {"through_seq": link.seq, "hash": link.hash.hex(), "entries": pruned}
    return Draft(
        namespace=EVERY,
        actor=ENGINE,
        action=Action.AUDIT_PRUNED,
        resource=Resource(kind="audit"),
        after=msgspec.json.encode(after).decode(),
    )
