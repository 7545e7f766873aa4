"""What becomes of runs claimed under their keys: each is sent at its instant, ends, or goes back.

Within the transaction of the claim, under the locks of the keys' rows.
"""

import math
from collections.abc import Mapping

import msgspec

from scheduler_svc.domain import pressure
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.pressure import Grant, Key, KeyState
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.settle import bound_ms
from scheduler_svc.engine.taken import with_jobs
from scheduler_svc.store import breakers
from scheduler_svc.store import pressure as stored
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.pressure import Back, PressedRun

Sent = tuple[ClaimedRun, KnownJob]


class Plan(msgspec.Struct):
    """What each key may have, and the locked rows that say so."""

    states: dict[Key, KeyState] = {}
    grants: dict[Key, Grant] = {}


async def sort_out(
    parts: Parts, conn: Connection, grants: Mapping[Key, Grant], runs: list[PressedRun]
) -> dict[Key, list[Sent]]:
    """Return the runs that go, by key; end those whose time is over, put back what may not go."""
    now_ms = parts.clock.now_ms()
    of = {run.claim.id: run for run in runs}
    back: list[Back] = []
    ended: list[tuple[ClaimedRun, str]] = []
    going: dict[Key, list[Sent]] = {}
    for claim, job in await with_jobs(parts, conn, [run.claim for run in runs], now_ms=now_ms):
        run = of[claim.id]
        if job.key != run.key:
            reason = parts.pressure.reason(job.key) or run.reason or "host_share"
            back.append(Back(claim, job.key, reason))
        elif (over := over_by(run, job, now_ms)) is not None:
            ended.append((claim, over))
        elif grants[run.key].probe and run.key in going:
            back.append(Back(claim, run.key, "breaker", counted=False))
        else:
            going.setdefault(job.key, []).append((claim, job))
    if ended:
        await stored.end_deferred(conn, ended, replica=parts.replica, now_ms=now_ms)
    if back:
        await stored.defer(conn, back, replica=parts.replica, now_ms=now_ms)
    return going


async def lay_out(
    parts: Parts, conn: Connection, plan: Plan, going: dict[Key, list[Sent]]
) -> tuple[list[Sent], list[int]]:
    """Give each run its instant and write what that leaves; tell when to look again."""
    sent: list[Sent] = []
    free_ms: dict[Key, float] = {}
    late: list[ClaimedRun] = []
    now_ms = parts.clock.now_ms()
    for key, runs in going.items():
        made = runs
        if plan.grants[key].probe:
            made = [await _probe(parts, conn, key, runs[0])]
        state = plan.states.get(key)
        if state is not None and state.under(parts.pressure.rules.default).max_per_second:
            made, free_ms[key] = _paced(parts, state, made)
            pairs = zip(runs, made, strict=True)
            late += [new for (old, _), (new, _) in pairs if new.fire_ms > max(old.fire_ms, now_ms)]
        sent += made
    if free_ms:
        await stored.write_rates(conn, free_ms)
    if late:
        await stored.note_rates(conn, late)
    return sent, [math.ceil(at) - parts.limits.lookahead_ms for at in free_ms.values()]


async def _probe(parts: Parts, conn: Connection, key: Key, sent: Sent) -> Sent:
    """Let one call through; it counts as lost when its time and its replica's lease are over."""
    claim, job = sent
    timeout_ms = milliseconds(job.plan.definition.target.timeout)
    lost_ms = parts.clock.now_ms() + timeout_ms + int(parts.lease.seconds * 2000)
    await breakers.start_probe(conn, key, claim.id, lost_ms=lost_ms)
    return msgspec.structs.replace(claim, probe=True), job


def _paced(parts: Parts, state: KeyState, sent: list[Sent]) -> tuple[list[Sent], float]:
    instants, following = pressure.lay_out(
        [claim.fire_ms for claim, _ in sent],
        free_ms=state.rate_free_ms,
        max_per_second=state.under(parts.pressure.rules.default).max_per_second or math.inf,
        now_ms=parts.clock.now_ms(),
    )
    paced = [
        (msgspec.structs.replace(claim, fire_ms=at), job)
        for (claim, job), at in zip(sent, instants, strict=True)
    ]
    return paced, following


def over_by(run: PressedRun, job: KnownJob, now_ms: int) -> str | None:
    """Tell whether what bounds the retries of a run has passed while it was deferred.

    That holds for what was tried before, and for what a breaker held back: it stands for an
    attempt that would have failed. Who waits for room alone is late, and is sent.
    """
    claim = run.claim
    if run.reason != "breaker" and claim.attempt - claim.lost <= 1:
        return None
    first_ms = claim.fire_ms if claim.started_at is None else epoch_ms(claim.started_at)
    deadline = job.plan.definition.retry.deadline
    if deadline is not None:
        return "deadline" if now_ms > first_ms + milliseconds(deadline) else None
    bound = bound_ms(job.plan, claim, first_ms)
    return "next_occurrence" if bound is not None and now_ms >= bound else None
