"""Keeping up with keys: read limits and breakers anew, write what became of a breaker, adopt both.

Part of a pass, and nothing of it costs a statement while nothing has changed, but one small look
every few seconds: the notice of a change is an accelerator only.
"""

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import Key, KeyState
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.pressure import Opening, Probed
from scheduler_svc.store import breakers, notices
from scheduler_svc.store import pressure as stored
from scheduler_svc.store.pool import Connection, connection, run_once_more
from scheduler_svc.store.pressure import Back

READ_SECONDS = 3.0
NOTE_BATCH = 500


class Written(msgspec.Struct, frozen=True):
    """What the database made of a transition; not `done`: the row is held by another replica."""

    done: bool = True
    event: EventName | None = None
    failures: int = 0
    retry_ms: int | None = None


async def keep(parts: Parts) -> None:
    """Bring what this replica knows of keys and what the database does to the same."""
    pressure = parts.pressure
    if pressure.returning:
        await give_back(parts)
    for key, news in list(pressure.news.items()):
        await _write(parts, key, news)
    monotonic = parts.clock.monotonic()
    if pressure.stale or monotonic > pressure.read_at + READ_SECONDS:
        pressure.read_at = monotonic
        await _read(parts)
    for key in list(pressure.opened)[:1]:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            told = await stored.note_breaker(conn, key, at_most=NOTE_BATCH)
        if told < NOTE_BATCH:
            pressure.opened.discard(key)


async def _write(parts: Parts, key: Key, news: Opening | Probed) -> None:
    """Write one transition of a breaker, and tell of it where it was this replica's to make."""

    async def write(conn: Connection) -> Written:
        present = await stored.read_keys(conn, [key])
        state = (await stored.lock_keys(conn, [key])).get(key) if present else None
        if present and state is None:
            return Written(done=False)
        if isinstance(news, Opening):
            written = await _open(parts, conn, news)
        else:
            written = await _judge(parts, conn, news, state)
        if written.event is not None:
            await notices.keys(conn)
        return written

    written = await run_once_more(parts.pool, write, seconds=parts.limits.database_seconds)
    if not written.done:
        return
    if parts.pressure.news.get(key) is news:
        del parts.pressure.news[key]
    parts.pressure.stale = True
    if written.event is EventName.BREAKER_OPENED:
        parts.pressure.opened.add(key)
        parts.on_event(
            written.event,
            namespace=key.namespace,
            key=key.name,
            failures=written.failures,
            retry_at=None if written.retry_ms is None else instant_at(written.retry_ms),
        )
    elif written.event is not None:
        parts.on_event(written.event, namespace=key.namespace, key=key.name)


async def _open(parts: Parts, conn: Connection, news: Opening) -> Written:
    now_ms = parts.clock.now_ms()
    retry_ms = now_ms + parts.pressure.rules.breaker.wait_after(1)
    opened = await breakers.open_breaker(
        conn, news.key, failures=news.failures, now_ms=now_ms, retry_ms=retry_ms
    )
    event = EventName.BREAKER_OPENED if opened else None
    return Written(event=event, failures=news.failures, retry_ms=retry_ms)


async def _judge(parts: Parts, conn: Connection, news: Probed, state: KeyState | None) -> Written:
    """Close the breaker, or keep it open for longer; a call that said nothing is made again."""
    if news.good:
        closed = await breakers.close_breaker(conn, news.key, news.run_id)
        return Written(event=EventName.BREAKER_CLOSED if closed else None)
    now_ms = parts.clock.now_ms()
    opens = 1 if state is None else state.breaker.opens
    wait_ms = 0 if news.good is None else parts.pressure.rules.breaker.wait_after(opens + 1)
    await breakers.probe_failed(
        conn, news.key, news.run_id, retry_ms=now_ms + wait_ms, counted=news.good is False
    )
    await notices.keys(conn)
    return Written()


async def _read(parts: Parts) -> None:
    """Read what all keys may have, and let what is held obey."""
    pressure = parts.pressure
    before = {key: pressure.reason(key) for key in {held.job.key for held in parts.hand}}
    pressure.stale = False  # before the look, so that a notice that comes meanwhile counts
    try:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            pressure.learn(await stored.pressing(conn))
    except BaseException:
        pressure.stale = True
        raise
    changed = {key for key, reason in before.items() if pressure.reason(key) not in {None, reason}}
    if not changed:
        return
    concerned = [held for held in parts.hand if held.job.key in changed]
    unsent = [held for held in concerned if not held.sending and _must_wait(parts, held)]
    parts.hand.withdraw(unsent)
    pressure.returning += unsent
    if unsent:
        await give_back(parts)
    calls = [(held.claim, held.job.key) for held in concerned if held.task is not None]
    if calls:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            await stored.stamp(conn, calls, replica=parts.replica)


def _must_wait(parts: Parts, held: HeldRun) -> bool:
    """Tell whether a held run has no right to go any more: it was not granted by what holds now."""
    if parts.pressure.reason(held.job.key) == "breaker":
        return not held.claim.probe
    return not held.claim.keyed


async def give_back(parts: Parts) -> None:
    """Put held runs back to wait under their keys; they stay in the hand until that is written."""
    runs = list(parts.pressure.returning)
    back = [
        Back(held.claim, held.job.key, parts.pressure.reason(held.job.key) or "host_share")
        for held in runs
    ]
    now_ms = parts.clock.now_ms()

    async def write(conn: Connection) -> None:
        await stored.defer(conn, back, replica=parts.replica, now_ms=now_ms)

    await run_once_more(parts.pool, write, seconds=parts.limits.database_seconds)
    for held in runs:
        parts.hand.drop(held)
    parts.pressure.returning = []
    parts.pressure.waits = True
