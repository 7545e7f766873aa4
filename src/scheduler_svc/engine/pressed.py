"""The third source of a pass: runs that wait because of their key, as many as it may have now.

Limits hold exactly over all replicas: what runs is counted, and what goes is written, under the
lock of the key's row. A key that another replica is at is left to it. What a key may not have stays
in its index and is not touched.
"""

from collections import Counter

import msgspec

from scheduler_svc.domain.deferral import COUNTED
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.pressure import Ceiling, Grant, Key, KeyState, grant
from scheduler_svc.engine import aftermath, granted
from scheduler_svc.engine.granted import Over, Plan, Sent
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.pressure import Turn
from scheduler_svc.store import pressure as stored
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.pressure import Back, PressedKey, PressedRun

KEYS_MAX = 100
"""Keys of one look; the next begins behind them."""
ROUNDS_MAX = 4
PROBES_MAX = 50
"""Runs that are looked at for a probe: those whose time is over do not make one."""
POLL_MS = 1000
"""The backstop: where runs wait because of their key, somebody looks each second."""
SOON_MS = 50

FIRST = Key("", "")
"""Before all keys."""


class Look(msgspec.Struct):
    """What one look at the waiting keys took, and when to look again."""

    sent: list[Sent] = []
    claimed: int = 0
    again_ms: list[int] = []
    past: int = 0
    """Of those, runs of the past."""
    over: list[Over] = []
    """Of those, runs that have ended unsent."""
    rest: Key = FIRST
    """Up to where it came, where there are more keys."""
    none: bool = False


class Claimed(msgspec.Struct, frozen=True):
    """When to look again, None where nothing waits; and how many runs of the past were taken."""

    again_ms: int | None = None
    past: int = 0


async def claim_pressed(parts: Parts, *, background: int) -> Claimed:
    """Take what the keys may have, at most so many of the past."""
    pressure = parts.pressure
    past = 0
    if not pressure.waits:
        return Claimed()
    again_ms = [parts.clock.now_ms() + POLL_MS]
    for _ in range(ROUNDS_MAX):
        if not parts.hand.free:
            return Claimed(min(again_ms), past)
        whole = pressure.after == FIRST
        look = await _one_look(parts, background - past)
        past += look.past
        pressure.after = look.rest
        again_ms += look.again_ms
        if look.none and whole:
            pressure.waits = False
            return Claimed(past=past)
        if not look.claimed and look.rest == FIRST:
            return Claimed(min(again_ms), past)
    return Claimed(min(*again_ms, parts.clock.now_ms()), past)


async def _one_look(parts: Parts, background: int) -> Look:
    parking = Parking(parts)
    look = await parking.run(lambda conn: _look(parts, conn, parking, background))
    parking.tell()
    for claim, job in look.sent:
        parts.hand.add(claim, job)
    if look.sent:
        parts.to_send.ring()
    if look.over:
        await _tell_over(parts, look.over)
    return look


async def _tell_over(parts: Parts, over: list[Over]) -> None:
    """Say that runs ended without the attempt they waited for, to their jobs' alerts too."""
    for one in over:
        is_alert = one.claim.trigger == "alert"
        parts.on_event(
            EventName.ALERT_FAILED if is_alert else EventName.RUN_FAILED,
            run_id=one.claim.id,
            job_id=one.claim.job_id,
            attempt=one.claim.attempt - 1,
            outcome=None,
            status_code=None,
            reason=one.reason,
            duration_ms=None,
            lateness_ms=None,
        )
    await aftermath.note_unheld(parts, [one.claim.id for one in over])


async def _look(parts: Parts, conn: Connection, parking: Parking, background: int) -> Look:
    now_ms = parts.clock.now_ms()
    waiting = await stored.pressed_keys(conn, parts.pressure.after, at_most=KEYS_MAX)
    look = Look(none=not waiting, sent=[], again_ms=[])
    if len(waiting) == KEYS_MAX:
        look.rest = waiting[-1].key
    ahead_ms = parts.limits.lookahead_ms
    ready = [one for one in waiting if one.first_ms <= now_ms + ahead_ms]
    look.again_ms += [one.first_ms - ahead_ms for one in waiting if one not in ready]
    if not ready:
        return look
    plan = await _plan(parts, conn, look, ready, now_ms)
    if not plan.grants:
        return look
    runs = await stored.claim_pressed(conn, plan.grants, replica=parts.replica, now_ms=now_ms)
    left = _left_for_the_past(parts, plan, ready, runs, background)
    if left:
        past = await stored.claim_pressed(
            conn, left, replica=parts.replica, now_ms=now_ms, background=True
        )
        look.past = len(past)
        runs += past
    look.claimed = len(runs)
    if runs:
        found = await granted.sort_out(parts, conn, parking, plan.grants, runs)
        look.over = found.over
        look.sent, again_ms = await granted.lay_out(parts, conn, plan, found.going)
        look.again_ms += again_ms
    return look


async def _plan(
    parts: Parts, conn: Connection, look: Look, ready: list[PressedKey], now_ms: int
) -> Plan:
    """Lock the rows of the keys that have limits or a breaker, and grant what they leave."""
    default = parts.pressure.rules.default
    keys = [one.key for one in ready]
    states = await stored.read_keys(conn, keys)
    if default.reason is not None:
        await stored.make_keys(conn, [key for key in keys if key not in states])
    limiting = [key for key in keys if _is_limiting(states.get(key), default)]
    locked = await stored.lock_keys(conn, limiting) if limiting else {}
    counted = [key for key, state in locked.items() if state.under(default).max_parallel]
    running = await stored.running_of(conn, counted) if counted else {}
    plan = Plan(states=locked, grants={})
    free = parts.hand.free
    granted_of: Counter[str] = Counter()
    for one in ready:
        key = one.key
        if key in limiting and key not in locked:
            look.again_ms.append(now_ms + SOON_MS)
            continue
        may = grant(
            locked.get(key),
            default,
            running=running.get(key, 0),
            now_ms=now_ms,
            lookahead_ms=parts.limits.lookahead_ms,
        )
        if may.again_ms is not None:
            look.again_ms.append(may.again_ms)
        elif one.first_ms > may.horizon_ms:
            look.again_ms.append(one.first_ms - max(0, may.horizon_ms - now_ms))
            continue
        room = parts.pressure.room(key, held=parts.hand.of_key(key), free=free)
        shared = parts.pressure.room_of_namespace(
            held=parts.hand.of_namespace(key.namespace) + granted_of[key.namespace], free=free
        )
        count = min(may.count, room, shared, parts.limits.batch)
        if count > 0:
            plan.grants[key] = msgspec.structs.replace(
                may, count=PROBES_MAX if may.probe else count
            )
            free -= count
            granted_of[key.namespace] += count
    return plan


def _is_limiting(state: KeyState | None, default: Ceiling) -> bool:
    if state is None:
        return default.reason is not None
    return state.breaker.state != "closed" or state.under(default).reason is not None


def _left_for_the_past(
    parts: Parts, plan: Plan, ready: list[PressedKey], runs: list[PressedRun], background: int
) -> dict[Key, Grant]:
    """Return what the keys may have of the past, beyond what is on time."""
    room = min(background, parts.hand.background_free, parts.hand.free - len(runs))
    taken = Counter(run.key for run in runs)
    left = {}
    for one in ready:
        may = plan.grants.get(one.key)
        if may is None or not one.background or (may.probe and taken[one.key]):
            continue
        count = min(room, may.count - taken[one.key])
        if count > 0:
            left[one.key] = msgspec.structs.replace(may, count=count)
            room -= count
    return left


async def set_aside(
    parts: Parts, conn: Connection, found: list[Sent], *, now_ms: int
) -> list[Sent]:
    """Of claimed runs, keep those whose key lets them go; the others wait under it from now on."""
    turn = Turn(parts.pressure, parts.hand)
    kept, back = [], []
    for claim, job in found:
        reason = turn.reason(job.key)
        if reason is None:
            turn.take(job.key)
            kept.append((claim, job))
        else:
            back.append(Back(claim, job.key, reason, counted=reason in COUNTED))
    if back:
        await stored.defer(conn, back, replica=parts.replica, now_ms=now_ms)
        parts.pressure.waits = True
    return kept
