"""Is there anything to do? Asked each second for all loops that wait for it, and by an idle pass.

Promises that whoever waits for what is there is woken within LOOK_SECONDS, and that nobody else is:
one statement a second is what standing idle costs. An answer younger than FRESH_SECONDS serves all
who ask. Does nothing itself, and a yes may come to nothing.
"""

from scheduler_svc.domain.backfills import AHEAD_MS
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine.alarm import Alarm, rest
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.claims import NextInstants, next_instants
from scheduler_svc.store.glance import Duty, glance
from scheduler_svc.store.pool import connection, is_database_away

LOOK_SECONDS = 1.0
FRESH_SECONDS = 0.8
LOOK_SHARE = 100
"""A look that walks over what an old transaction keeps takes a hundredth of the time, not more."""
LOOK_SECONDS_MAX = 60.0
"""But it comes once a minute: one that was slow because all was slow just then says nothing of the
next, and such a time is when there is something to find."""
UNSEALED_LATE_MS = 120_000
"""How old an entry of the audit log may be when its transaction commits."""


def bell_for(parts: Parts, *duties: Duty, bell: Alarm | None = None) -> Alarm:
    """Return an alarm that is rung at each look which finds something of these duties."""
    bell = Alarm() if bell is None else bell
    parts.glance.bells.append((frozenset(duties), bell))
    return bell


async def looks(parts: Parts) -> None:
    """Look each second, and ring for those whose duty is found; for ever."""
    while True:
        await rest(LOOK_SECONDS, Turn.LOOK)
        try:
            found = await _found(parts)
        except Exception as error:
            if not is_database_away(error):
                raise
            continue
        for duties, bell in parts.glance.bells:
            if not duties.isdisjoint(found):
                bell.ring()


async def is_there(parts: Parts, duty: Duty) -> bool:
    """Tell whether there may be something to do; raise what the database raises."""
    return duty in await _found(parts)


async def _found(parts: Parts) -> frozenset[Duty]:
    last = parts.glance
    async with last.asking:
        asked_at = parts.clock.monotonic()
        if asked_at >= last.asked_at + FRESH_SECONDS:
            now_ms = parts.clock.now_ms()
            async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
                last.found = await glance(
                    conn,
                    now_ms=now_ms,
                    paced_until_ms=now_ms + AHEAD_MS,
                    unsealed_since=instant_at(max(0, now_ms - UNSEALED_LATE_MS)),
                )
            last.asked_at = asked_at
    return last.found


def next_look(began: float, ended: float, seconds: float) -> float:
    """Return when to look again: after so long, or somewhat later where the look took its time."""
    return began + max(seconds, min((ended - began) * LOOK_SHARE, LOOK_SECONDS_MAX))


async def what_comes(parts: Parts, *, after_ms: int) -> NextInstants:
    """Return what comes next of the timers after an instant and of all runs, or is due already."""
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        return await next_instants(conn, after_ms=after_ms, runs_after_ms=0)


def is_anything_due(following: NextInstants, *, horizon_ms: int) -> bool:
    """Tell whether something is due up to an instant, or waits."""
    soonest = [at for at in (following.timer_ms, following.run_ms) if at is not None]
    return following.pressed or any(at <= horizon_ms for at in soonest)
