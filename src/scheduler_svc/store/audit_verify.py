"""Verifying the audit log: a walk over the chain in bounded batches, to its end as it is then.

Promises to change nothing, to hold no snapshot for longer than a batch, and to go on where entries
are sealed or pruned meanwhile.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from scheduler_svc.domain.audit_chain import FIRST, Broken, Link, Sealed, SealKey
from scheduler_svc.domain.audit_walk import Nearby, Walk
from scheduler_svc.store import audit
from scheduler_svc.store.pool import Pool, connection
from scheduler_svc.store.replicas import database_now

BATCH = 1000
UNSEALED_MAX = timedelta(seconds=60)
"""For how long an entry may wait to be sealed: it takes a second where a replica runs."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the walk found; `broken` is the first thing that is not in order."""

    entries: int
    first: Link
    last: Link
    broken: Broken | None
    unjudged: int
    unsealed_since: datetime | None


async def verify(
    pool: Pool,
    keys: Sequence[SealKey],
    *,
    lenient: bool = False,
    expected: tuple[int, bytes] | None = None,
) -> Verdict:
    """Walk the whole chain; `expected` is a place noted elsewhere that must be in it.

    With `lenient` codes whose key is not there are not judged.
    """
    walk = Walk(keys=keys, lenient=lenient, expected=expected)
    async with connection(pool) as conn:
        start = (await audit.marks(conn)).get("start")
    broken = None
    if start is not None:
        if (fault := walk.code_fault("start", start)) is not None:
            broken = Broken("missing", start.seq, f"the mark of the beginning: {fault}")
        walk.at = start
    first = walk.at
    broken = broken or await _walk(pool, walk)
    async with connection(pool) as conn:
        oldest, now = await audit.oldest_unsealed(conn), await database_now(conn)
    if broken is None and oldest is not None and oldest < now - UNSEALED_MAX:
        detail = f"entries wait to be sealed since {oldest:%Y-%m-%d %H:%M:%SZ}"
        broken = Broken("unsealed", walk.at.seq + 1, detail)
    return Verdict(
        entries=walk.entries,
        first=first,
        last=walk.at,
        broken=broken,
        unjudged=walk.unjudged,
        unsealed_since=oldest,
    )


async def _walk(pool: Pool, walk: Walk) -> Broken | None:
    """Go from the beginning to the end; return the first thing that is not in order."""
    while True:
        async with connection(pool) as conn:
            head = (await audit.marks(conn)).get("head", FIRST)
            found = await audit.walk(conn, after=walk.at.seq, batch=BATCH)
        for one in found:
            if one.link.seq > head.seq:
                if await _head_moved(pool, head):
                    break  # sealed since the mark was read: the end is where it was then
                detail = "the log was sealed up to the entry before it"
                return Broken("inserted", head.seq + 1, detail)
            if (broken := await _step(pool, walk, one)) is not None:
                return broken
        if walk.at.seq >= head.seq:
            return _end(walk, head)
        if not found and not await _was_pruned(pool, walk):
            gone = f"{walk.at.seq + 1} to {head.seq} at the end of the log are not there"
            return Broken("missing", walk.at.seq + 1, gone)


async def _step(pool: Pool, walk: Walk, one: Sealed) -> Broken | None:
    """Go on to an entry; what does not fit is looked into."""
    if one.link.seq != walk.at.seq + 1 and await _was_pruned(pool, walk):
        return None if one.link.seq <= walk.at.seq else await _step(pool, walk, one)
    broken = walk.step(one)
    if broken is None or broken.fault != "changed" or walk.fits(one):
        return broken
    async with connection(pool) as conn:
        following = await audit.walk(conn, after=one.link.seq, batch=1)
        copies = await audit.with_hash(conn, one.link.hash)
        origin = await audit.with_hash(conn, one.prev_hash)
    return walk.verdict(
        one,
        Nearby(following[0] if following else None, len(copies), origin[0] if origin else None),
    )


async def _was_pruned(pool: Pool, walk: Walk) -> bool:
    """Go on behind what was pruned since the walk began; False where nothing was."""
    async with connection(pool) as conn:
        start = (await audit.marks(conn)).get("start", FIRST)
    if start.seq <= walk.at.seq or walk.code_fault("start", start) is not None:
        return False
    walk.at, walk.before = start, None
    return True


async def _head_moved(pool: Pool, head: Link) -> bool:
    async with connection(pool) as conn:
        return (await audit.marks(conn)).get("head", FIRST).seq > head.seq


def _end(walk: Walk, head: Link) -> Broken | None:
    """Hold the mark of the end to the entry it names."""
    if walk.expected is not None and walk.expected[0] > walk.at.seq:
        return Broken("missing", walk.at.seq + 1, "the log ends before the place that was noted")
    if head == FIRST:
        return None
    if head.hash != walk.at.hash:
        return Broken("changed", walk.at.seq, "the mark of the end has another hash")
    if (fault := walk.code_fault("head", head)) is not None:
        return Broken("missing", head.seq, f"the mark of the end: {fault}")
    return None
