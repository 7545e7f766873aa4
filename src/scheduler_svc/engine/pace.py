"""When to look for work: the pace of the passes, and nothing of what a pass does.

The loop sleeps until the earliest known instant less the lookahead, at most the poll. A notice
wakes it earlier. The wake flag is cleared before looking, not after, so that no notice is lost.
"""

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.engine import deciding, keys, pressed, tracing, waiting
from scheduler_svc.engine.behind import earlier
from scheduler_svc.engine.chain import Chain
from scheduler_svc.engine.crowds import Crowds, claim_others
from scheduler_svc.engine.deciding import BEHIND_MS
from scheduler_svc.engine.glance import is_anything_due, next_look, what_comes
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.tick import Scan
from scheduler_svc.store.chime import CHIME_SECONDS, Turn
from scheduler_svc.store.claims import NextInstants, next_instants
from scheduler_svc.store.pool import connection, is_database_away
from scheduler_svc.store.timers import Mark

GATHER_SHARE = 5
"""At a steady load a pass comes a fifth of the lookahead after the last, and so gathers a batch."""
GATHER_MS_MIN = 50
FULL_SCAN_SECONDS = 15.0
MARK_MARGIN_MS = 10_000
"""How far the low-water mark stays behind: longer than a frozen claim may hold its locks."""
BACKGROUND_STEP_MS = 5
"""What is caught up or backfilled is sent so far apart: it costs what is on time no processor."""
PORTIONS_MAX = 8
RESERVED_SHARE = 10
"""One slot in ten is left to runs that wait, so that a flood of timers can not starve retries."""
FIRST_WAIT_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 5.0
FAILURES_MAX = 20
"""Passes in a row that fail for a reason of our own: then the process ends, to be started anew."""


class Pace(msgspec.Struct):
    """What the loop remembers from pass to pass."""

    low: Mark = Mark()
    full_scan_at: float = float("-inf")
    last_tick: float = float("-inf")
    failures: int = 0
    away: bool = False
    stopped: bool = False
    crowds: Crowds = msgspec.field(default_factory=Crowds)
    idle: bool = False
    """The last pass left nothing to come back for soon: the next one asks before it claims."""
    portions: int = 1
    """Of an outage so many portions are taken at once: more while nothing is on time."""
    background_ms: int = 0
    """Up to where the pace of the past is given away, in epoch milliseconds."""
    wake_ms: float = float("inf")
    """When the loop looks again by itself; endless while it looks."""
    noticed_ms: float = float("inf")
    """The earliest noticed since the pass began: it looked there, so the mark stays behind."""

    def notice(self, at_ms: int, *, lookahead_ms: int) -> bool:
        """Look from this instant on, where it is earlier than the mark; tell whether to hurry."""
        self.noticed_ms = min(self.noticed_ms, at_ms)
        if at_ms <= self.low.fire_ms:
            self.low = Mark(at_ms - 1)
        self.crowds.notice(at_ms)
        return at_ms - lookahead_ms < self.wake_ms


async def run(parts: Parts, pace: Pace) -> None:
    """Pass and sleep until told to stop."""
    while not pace.stopped:
        parts.to_claim.clear()
        pace.wake_ms = float("inf")
        seconds = await _pass(parts, pace)
        pace.wake_ms = parts.clock.now_ms() + seconds * 1000
        if seconds < parts.limits.poll_ms / 1000 - CHIME_SECONDS:
            await parts.to_claim.wait(seconds)
        else:
            await parts.to_claim.rest(seconds, Turn.PACE)


async def _pass(parts: Parts, pace: Pace) -> float:
    """Make one pass, come what may; return how long to sleep after it."""
    began, taken = parts.clock.monotonic(), parts.hand.taken
    try:
        seconds = await one_pass(parts, pace)
    except Exception as error:
        # The one broad catch around a pass: without the database there is nothing to do but wait.
        away = is_database_away(error)
        pace.failures += 1
        if not (away and pace.away):
            name = EventName.DATABASE_AWAY if away else EventName.TICK_FAILED
            parts.on_event(name, error=repr(error))
        pace.away = pace.away or away
        if not away and pace.failures >= FAILURES_MAX:
            raise
        wait = min(BACKOFF_SECONDS_MAX, FIRST_WAIT_SECONDS * 2.0 ** min(pace.failures, 10))
        return wait * (0.5 + parts.rand())
    if pace.away:
        parts.on_event(EventName.DATABASE_BACK)
    pace.failures, pace.away = 0, False
    pace.last_tick = parts.clock.monotonic()
    duration_ms = round((pace.last_tick - began) * 1000, 3)
    parts.on_event(EventName.TICK_ENDED, claimed=parts.hand.taken - taken, duration_ms=duration_ms)
    if parts.on_span is not None:
        tracing.passed(parts, parts.on_span, duration_ms)
    return seconds


async def one_pass(parts: Parts, pace: Pace) -> float:
    """Claim all there is room for; return the seconds until the next look."""
    if not parts.lease.held:
        return min(BACKOFF_SECONDS_MAX, parts.limits.poll_ms / 1000)
    pace.noticed_ms = float("inf")
    started_ms = parts.clock.now_ms()
    await keys.keep(parts)
    if pace.idle and (idle := await _still_idle(parts, pace, started_ms)) is not None:
        return idle
    pace.idle = False
    # By chance, so that the share also holds where slots come free one at a time.
    reserved = int(parts.hand.free / RESERVED_SHARE + parts.rand())
    pace.crowds.begin()
    deferred_ms, seen_all = await _claim_timers(parts, pace, started_ms, reserved=reserved)
    others_ms = await claim_others(parts, pace.crowds, low=pace.low, reserved=reserved)
    again_ms = await _claim_pressed(parts, pace)
    waits, past_waits = await waiting.what_waits(parts)
    more = waits and await waiting.claim_for_a_while(parts)
    if past_waits:
        await _claim_background(parts, pace)
    if again_ms is None:  # what came by the other sources may wait because of its key
        again_ms = await _claim_pressed(parts, pace)
    if not seen_all and parts.hand.free:
        deferred_ms, seen_all = await _claim_timers(parts, pace, started_ms, reserved=0)
    if parts.hand.free == 0:
        return parts.limits.poll_ms / 1000  # or until a run ends, which rings
    horizon_ms = started_ms + parts.limits.lookahead_ms
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        following = await next_instants(conn, after_ms=horizon_ms)
    wake_ms = [at for at in (deferred_ms, others_ms, again_ms) if at is not None]
    if more:
        wake_ms.append(started_ms)
    if pace.background_ms > started_ms:
        # There may be more of it, due already: only the pace held it back.
        wake_ms.append(started_ms + _gather_ms(parts))
    if parts.pressure.opened or (again_ms is None and (following.pressed or parts.pressure.waits)):
        parts.pressure.waits = True
        wake_ms.append(started_ms + GATHER_MS_MIN)
    seconds = _sleep(parts, started_ms, following, min(wake_ms, default=None))
    gather_seconds = _gather_ms(parts) / 1000
    # Nor what waits for a slot of the past: the end that makes room for it rings.
    pace.idle = not wake_ms and not past_waits and seconds > 2 * gather_seconds
    # Somebody may have held a timer that is due: one more look before the long sleep.
    return gather_seconds if pace.idle else seconds


async def _still_idle(parts: Parts, pace: Pace, started_ms: int) -> float | None:
    """Ask by one statement instead of four transactions whether anything is due; None where it is.

    From the mark on, and as often as a scan does from the beginning of all timers: a scan follows.
    """
    began = parts.clock.monotonic()
    whole = began >= pace.full_scan_at
    following = await what_comes(parts, after_ms=0 if whole else pace.low.fire_ms)
    if whole:
        pace.full_scan_at = next_look(began, parts.clock.monotonic(), FULL_SCAN_SECONDS)
    if is_anything_due(following, horizon_ms=started_ms + parts.limits.lookahead_ms):
        if following.timer_ms is not None and following.timer_ms <= pace.low.fire_ms:
            pace.low = Mark(following.timer_ms - 1)
        return None
    _raise_mark(pace, started_ms, None)
    return _sleep(parts, started_ms, following, None)


async def _claim_background(parts: Parts, pace: Pace) -> None:
    """Take as much of the past as is sent until shortly after the next pass, at an even pace."""
    from_ms, room = _background_room(parts, pace)
    taken = await waiting.claim_background(
        parts, room=room, from_ms=from_ms, step_ms=BACKGROUND_STEP_MS
    )
    if taken:  # else nothing of the pace is given away, and nothing to come back soon for
        pace.background_ms = from_ms + taken * BACKGROUND_STEP_MS


async def _claim_pressed(parts: Parts, pace: Pace) -> int | None:
    """Take what keys may have; what is of the past among it uses up the pace of the past."""
    from_ms, room = _background_room(parts, pace)
    claimed = await pressed.claim_pressed(parts, background=room)
    if claimed.past:
        pace.background_ms = from_ms + claimed.past * BACKGROUND_STEP_MS
    return claimed.again_ms


def _background_room(parts: Parts, pace: Pace) -> tuple[int, int]:
    """Return from when the pace of the past is free, and how many runs it has room for."""
    now_ms = parts.clock.now_ms()
    from_ms = max(now_ms, pace.background_ms)
    return from_ms, (now_ms + 2 * _gather_ms(parts) - from_ms) // BACKGROUND_STEP_MS


async def _claim_timers(
    parts: Parts, pace: Pace, started_ms: int, *, reserved: int
) -> tuple[int | None, bool]:
    """Scan from the mark, batch by batch, while more than the reserved slots are free.

    Returns the earliest instant that was deferred, and whether the scan came to the end.
    """
    began = parts.clock.monotonic()
    whole = began >= pace.full_scan_at
    if whole:
        pace.low, pace.full_scan_at = Mark(), began + FULL_SCAN_SECONDS
    after = pace.low
    deferred_ms: int | None = None
    scan: Scan | None = None
    left_ms: int | None = None
    ahead_ms = started_ms + _gather_ms(parts)
    async with Chain(parts) as chain:
        while (room := await chain.room(reserved)) > 0:
            scan = await chain.scan(after, scan, room=room, portion=_portion(parts, pace))
            if whole:  # over all that an old transaction keeps, where there is one
                whole = False
                pace.full_scan_at = next_look(began, parts.clock.monotonic(), FULL_SCAN_SECONDS)
            after = scan.mark
            left_ms = earlier(left_ms, scan.left_ms)
            deferred_ms = earlier(deferred_ms, scan.deferred_ms)
            pace.crowds.names |= scan.crowds
            if not scan.full:
                break
            beside = claim_others(parts, pace.crowds, low=pace.low, reserved=reserved, soon=True)
            deferred_ms = earlier(deferred_ms, await beside)
            now_ms = parts.clock.now_ms()
            outage = after.fire_ms < now_ms - BEHIND_MS
            # Between small portions each time; else, and of a crowd at one instant such as all of
            # a dead host, once a while: who comes after is not late.
            often = outage and pace.portions < PORTIONS_MAX
            if often or (now_ms >= ahead_ms and now_ms > after.fire_ms):
                from_ms = now_ms - BEHIND_MS if outage else now_ms
                on_time = await _claim_on_time(parts, pace, from_ms, reserved=reserved)
                if outage:
                    pace.portions = 1 if on_time else min(2 * pace.portions, PORTIONS_MAX)
                ahead_ms = parts.clock.now_ms() + _gather_ms(parts)
        else:
            return deferred_ms, False
    if chain.broken:
        return started_ms, False
    if left_ms is None:
        parts.pressure.relieve()
    # Not past what was left, however long ago: it is claimed when there is room again.
    _raise_mark(pace, started_ms, earlier(deferred_ms, left_ms))
    return deferred_ms, True


def _portion(parts: Parts, pace: Pace) -> int:
    return min(deciding.RUNS_MAX * pace.portions, parts.limits.batch)


async def _claim_on_time(parts: Parts, pace: Pace, after_ms: int, *, reserved: int) -> bool:
    """Between two portions of what an outage or a crowd left behind, take what is due from then;
    tell whether there was any.

    What is deferred here the scan from the mark meets again.
    """
    after, found = Mark(after_ms), False
    scan: Scan | None = None
    async with Chain(parts) as chain:
        while (room := parts.hand.free - reserved) > 0:
            scan = await chain.scan(after, scan, room=room, portion=_portion(parts, pace))
            found |= bool(scan.plain or scan.decisions)
            after = scan.mark
            pace.crowds.names |= scan.crowds
            if not scan.full:
                break
            await claim_others(parts, pace.crowds, low=pace.low, reserved=reserved, soon=True)
    return found


def _gather_ms(parts: Parts) -> int:
    return max(parts.limits.lookahead_ms // GATHER_SHARE, GATHER_MS_MIN)


def _raise_mark(pace: Pace, started_ms: int, deferred_ms: int | None) -> None:
    """After a scan to the end nothing lies behind but what others hold, or will move."""
    seen_ms = int(min(started_ms, deferred_ms or started_ms, pace.noticed_ms)) - MARK_MARGIN_MS
    if seen_ms > pace.low.fire_ms:
        pace.low = Mark(seen_ms)


def _sleep(
    parts: Parts, started_ms: int, following: NextInstants, deferred_ms: int | None
) -> float:
    """Return the seconds until the next pass is worth its cost."""
    limits = parts.limits
    gather_ms = limits.lookahead_ms // GATHER_SHARE
    wake_ms = started_ms + limits.poll_ms
    if (known_ms := earlier(following.timer_ms, following.run_ms)) is not None:
        ahead_ms = known_ms - limits.lookahead_ms
        # Spread over the interval, so that replicas do not all come at once.
        wake_ms = min(wake_ms, max(ahead_ms, started_ms) + int(gather_ms * (0.5 + parts.rand())))
    return max(0.0, parts.clock.seconds_until(earlier(wake_ms, deferred_ms) or wake_ms))
