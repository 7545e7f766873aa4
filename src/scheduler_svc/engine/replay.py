"""Replays by filter, step by step: each pass makes the next few runs of those whose turn it is.

As with backfills: the rate holds, all of them together have a share of the slots and stand behind
on-time work, any replica may make any step, and what a dead one did not commit the next pass makes.
"""

from datetime import timedelta
from uuid import UUID

import msgspec

from scheduler_svc.domain.backfills import AHEAD_MS, STEP_RUNS, gap_ms
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import RANDOM_BYTES, epoch_ms, instant_at, random_run_id
from scheduler_svc.domain.replays import Replay, turns
from scheduler_svc.engine.backfill import (
    BUSY_SECONDS,
    PASS_SECONDS,
    PRUNE_SECONDS,
    SLOTS_SHARE,
    STEPS_MAX,
)
from scheduler_svc.engine.glance import bell_for, is_there
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import notices, replays
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.pool import Connection, connection, is_database_away, run_once_more
from scheduler_svc.store.replays import Candidate, Step


class Stepped(msgspec.Struct, frozen=True):
    """What one step did to a replay."""

    replay: Replay
    made: int
    completed: bool


async def replaying(parts: Parts, *, retention_days: int) -> None:
    """Make steps for ever, and forget the replays of days no longer kept."""
    bell = bell_for(parts, "replays")
    prune_at, busy = float("-inf"), False
    while True:
        until_prune = max(PASS_SECONDS, prune_at - parts.clock.monotonic())
        await bell.rest(BUSY_SECONDS if busy else until_prune, Turn.UPKEEP)
        bell.clear()
        busy = False
        if not parts.lease.held:
            continue
        try:
            if await is_there(parts, "replays") and await make_steps(parts):
                busy = True
            if parts.clock.monotonic() > prune_at:
                prune_at = parts.clock.monotonic() + PRUNE_SECONDS
                await prune(parts, retention_days=retention_days)
        except Exception as error:
            if not is_database_away(error):
                raise


async def make_steps(parts: Parts) -> int:
    """Make one step of each replay whose turn it is; return how many runs were made."""
    seen: set[UUID] = set()
    made = 0
    while len(seen) < STEPS_MAX:
        stepped = await run_once_more(
            parts.pool,
            lambda conn: step_next(parts, conn, seen),
            seconds=parts.limits.database_seconds,
        )
        if stepped is None:
            break
        seen.add(stepped.replay.id)
        made += stepped.made
        if stepped.completed:
            parts.on_event(
                EventName.REPLAY_COMPLETED,
                replay_id=stepped.replay.id,
                created=stepped.replay.created + stepped.made,
            )
    if made:
        parts.to_claim.ring()
    return made


async def prune(parts: Parts, *, retention_days: int) -> None:
    """Forget what ended before the days that are kept."""
    before = instant_at(parts.clock.now_ms()) - timedelta(days=retention_days)
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        await replays.prune_replays(conn, before=before)


async def step_next(parts: Parts, conn: Connection, seen: set[UUID]) -> Stepped | None:
    """Lock the replay whose turn came first and make its step; None where there is none."""
    now_ms = parts.clock.now_ms()
    found = await replays.lock_next(conn, horizon_ms=now_ms + AHEAD_MS, seen=seen)
    if found is None:
        return None
    unfinished = await replays.count_open(conn, found.id)
    room = max(1, parts.hand.slots // SLOTS_SHARE) - unfinished.everyone
    found = msgspec.structs.replace(found, done=found.created - unfinished.own)
    due = turns(found, room=room, now_ms=now_ms)
    if not due and unfinished.own:
        return Stepped(found, 0, completed=False)
    matching = await replays.candidates(conn, found, at_most=STEP_RUNS + 1)
    step, seen_all = _step(parts, found, matching, due)
    await replays.write_step(conn, found.id, step)
    made = len(step.run_ids)
    if made:
        await notices.wake(conn, step.due_ms[0])
    completed = seen_all and unfinished.own + made == 0
    if completed:
        await replays.end_replay(conn, found.id, status="completed", now_ms=now_ms)
    return Stepped(found, made, completed)


def _step(
    parts: Parts, found: Replay, matching: list[Candidate], due: list[int]
) -> tuple[Step, bool]:
    """Give each run that is not busy its turn, and stop where there is none left.

    Tells also whether all that matches was decided.
    """
    taken: list[Candidate] = []
    after, left_out = (found.after_at, found.after_id), 0
    for one in matching[:STEP_RUNS]:
        if one.busy:
            left_out += 1
        elif len(taken) < len(due):
            taken.append(one)
        else:
            break
        after = (one.scheduled_for, one.id)
    decided = len(taken) + left_out
    due = due[: len(taken)]
    step = Step(
        run_ids=[_new_id(parts, one) for one in taken],
        originals=taken,
        due_ms=due,
        left_out=left_out,
        after=after,
        paced_ms=due[-1] + gap_ms(found.max_per_minute) if due else found.paced_ms,
    )
    return step, decided == len(matching)


def _new_id(parts: Parts, original: Candidate) -> UUID:
    return random_run_id(epoch_ms(original.scheduled_for), parts.random_bytes(RANDOM_BYTES))
