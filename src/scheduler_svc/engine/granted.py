"""What becomes of runs claimed under their keys: each is sent at its instant, ends, or goes back.

Within the transaction of the claim, under the locks of the keys' rows.
"""

import math
from collections.abc import Mapping

import msgspec

from scheduler_svc.domain import pressure
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.outcome import Failed
from scheduler_svc.domain.pressure import Grant, Key, KeyState
from scheduler_svc.engine import bounds
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.taken import with_jobs
from scheduler_svc.store import breakers
from scheduler_svc.store import pressure as stored
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.pressure import Back, PressedRun

Sent = tuple[ClaimedRun, KnownJob]


class Over(msgspec.Struct, frozen=True):
    """A run that ended because its time was over, with its job."""

    claim: ClaimedRun
    job: KnownJob
    reason: str


class Sorted(msgspec.Struct, frozen=True):
    """Of claimed runs those that go, by key, and those that have ended."""

    going: dict[Key, list[Sent]]
    over: list[Over]


class Plan(msgspec.Struct):
    """What each key may have, and the locked rows that say so."""

    states: dict[Key, KeyState] = {}
    grants: dict[Key, Grant] = {}


async def sort_out(
    parts: Parts,
    conn: Connection,
    parking: Parking,
    grants: Mapping[Key, Grant],
    runs: list[PressedRun],
) -> Sorted:
    """Say which runs go; end those whose time is over, put back what may not go now."""
    now_ms = parts.clock.now_ms()
    of = {run.claim.id: run for run in runs}
    back: list[Back] = []
    ended: list[Over] = []
    going: dict[Key, list[Sent]] = {}
    claims = [run.claim for run in runs]
    for claim, job in await with_jobs(parts, conn, parking, claims, now_ms=now_ms):
        run = of[claim.id]
        if job.key != run.key:
            reason = parts.pressure.reason(job.key) or run.reason or "host_share"
            back.append(Back(claim, job.key, reason))
        elif (over := _over(run, job, now_ms)) is not None:
            ended.append(Over(claim, job, over.reason))
        elif grants[run.key].probe and run.key in going:
            back.append(Back(claim, run.key, "breaker", counted=False))
        else:
            going.setdefault(job.key, []).append((claim, job))
    if ended:
        pairs = [(one.claim, one.reason) for one in ended]
        await stored.end_deferred(conn, pairs, replica=parts.replica, now_ms=now_ms)
    if back:
        await stored.defer(conn, back, replica=parts.replica, now_ms=now_ms)
    return Sorted(going, ended)


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


def _over(run: PressedRun, job: KnownJob, now_ms: int) -> Failed | None:
    """Tell whether what bounds the retries of a run has passed while it was deferred.

    That holds for what was tried before, and for what a breaker held back. Who waits for room alone
    is late, and is sent.
    """
    held_back = run.reason == "breaker"
    return bounds.over(job.plan, run.claim, now_ms=now_ms, held_back=held_back)
