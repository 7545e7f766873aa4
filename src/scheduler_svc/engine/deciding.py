"""What each locked timer becomes, in one look: nearly all at a step, the others by the rules.

A step and the rules say the same of what both can say (`domain.decide.plain_following`). A job that
can not be decided is parked, and the look goes on (DESIGN 6.8).
"""

from collections.abc import Container, Mapping
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import Decision, Deferred, Timer, decide, plain_following
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.recorded import NOTHING, Recorded
from scheduler_svc.engine import run_quota
from scheduler_svc.engine.holding import Sift
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.placing import TELLING_MS, Placing
from scheduler_svc.engine.resume import Ending
from scheduler_svc.engine.run_quota import RunQuotas
from scheduler_svc.store import timers
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import Plain

BEHIND_MS = 2000
"""A timer that has been due for longer than this is of an outage."""
RUNS_MAX = 100
"""How many runs of an outage one transaction writes, or little more, while something is on time:
they come in portions, and what is on time goes between them, in whole batches, at half the cost."""
TURNS_MAX = 8
"""So often all occurrences of a job are decided again because a quota had no room for one."""
LEFT_MS = 50
"""A timer that is left for its key's calls to come back is looked at again after so long, if none
of them rings before."""


def looked_at_again_ms(timer: Timer, now_ms: int) -> int:
    """Return when a timer that is left is worth another look: a while after its instant the first
    calls of its key have come back and rung, or else it is written down and waits.
    """
    return max(timer.fire_ms + TELLING_MS, now_ms + LEFT_MS)


class Every:
    """Has everything in it."""

    def __contains__(self, _: object) -> bool:
        return True


EVERY: Container[UUID] = Every()


class About(msgspec.Struct, frozen=True):
    """What a look has read about its timers, under their locks."""

    ending: Ending
    sifted: Sift
    standing: Mapping[UUID, list[OpenRun]]
    quotas: RunQuotas
    placing: Placing
    parking: Parking
    now_ms: int
    portion: int
    """How many runs of an outage are decided."""
    contested: bool = False
    """All of them by the rules: what a claim takes for granted did not hold."""
    recorded: Mapping[UUID, Recorded] = {}
    """The rows that are there already, where it is contested."""


class Decided(msgspec.Struct):
    """What a look has decided, and up to which timer it came."""

    decisions: list[Decision]
    again: list[int]
    """When timers that are left want to be looked at again."""
    last: Timer
    plain: list[tuple[Plain, KnownJob]] = []
    runs: int = 0
    """Of an outage: what one transaction writes of it is bounded."""


async def decide_locked(conn: Connection, locked: list[Timer], about: About) -> Decided:
    """Decide one timer after the other, until enough of an outage is decided."""
    ending, sifted, now_ms = about.ending, about.sifted, about.now_ms
    decided = Decided(list(ending.decisions), [*ending.deferred, *sifted.again], locked[-1])
    plain = decided.plain
    # Most namespaces have neither a quota nor a hold, and are asked nothing.
    simple = about.quotas is run_quota.NO_RUN_QUOTAS and not sifted.by and not about.contested
    behind_ms = now_ms - BEHIND_MS
    for timer in locked:
        job = sifted.known.get(timer.job_id)
        if job is None or timer.job_id in ending.jobs:
            continue
        sure = None
        if simple and timer.job_id not in about.standing:
            sure = _plain(job, timer, now_ms)
        if sure is not None and about.placing.admits(job.key):
            plain.append((sure, job))
            decided.runs += timer.fire_ms < behind_ms
        else:
            await _by_the_rules(conn, job, timer, about=about, decided=decided)
        if decided.runs >= about.portion:
            decided.last = timer
            break
    return decided


def _plain(job: KnownJob, timer: Timer, now_ms: int) -> Plain | None:
    """Decide what is simply sent at its instant; None where the rules have to be asked."""
    try:
        next_ms = plain_following(job.plan, timer, now_ms)
    except Exception:  # noqa: BLE001 - the rules find the same, and the poison guard is there
        return None
    if next_ms is None or timer.scheduled_ms is None:
        return None
    definition = job.plan.definition
    return Plain(
        timers.claim_of(timer.job_id, timer.scheduled_ms),
        definition.name,
        job.plan.namespace,
        definition.priority,
        next_ms,
        timer.runs_made + 1,
    )


async def _by_the_rules(
    conn: Connection, job: KnownJob, timer: Timer, *, about: About, decided: Decided
) -> None:
    quotas, placing, now_ms = about.quotas, about.placing, about.now_ms
    if quotas is not run_quota.NO_RUN_QUOTAS and quotas.leaves(job):
        decided.again.append(max(timer.fire_ms, now_ms + LEFT_MS))
        return
    if placing.leaves(job, timer):
        decided.again.append(looked_at_again_ms(timer, now_ms))
        return
    verdict = await _decide(conn, job, timer, about)
    if isinstance(verdict, Deferred):
        decided.again.append(verdict.fire_ms)
    elif verdict is not None:
        decided.decisions.append(placing.place(job, verdict))
        decided.runs += len(verdict.runs) if timer.fire_ms < now_ms - BEHIND_MS else 0


async def _decide(
    conn: Connection, job: KnownJob, timer: Timer, about: About
) -> Decision | Deferred | None:
    """Decide by the rules, and give what is sent its minute where its namespace has a quota.

    Where that has no room for a run that counts towards `max_runs`, another occurrence has its
    turn: all is decided again, without that run. After some rounds none has a turn: whoever comes
    later has less room before the next occurrence.
    """
    quotas, sifted = about.quotas, about.sifted
    namespace, counted = job.plan.namespace, job.plan.definition.schedule.max_runs is not None
    standing = about.standing.get(timer.job_id, [])
    rows = about.recorded.get(timer.job_id, NOTHING)
    refused: set[UUID] = set()
    turns = 0
    while True:
        given = EVERY if turns == TURNS_MAX else refused
        try:
            verdict = decide(
                job.plan, timer, standing, now_ms=about.now_ms, recorded=rows, refused=given
            )
        except Exception as error:  # noqa: BLE001 - the poison guard
            await about.parking.park(conn, timer.job_id, error)
            return None
        if isinstance(verdict, Deferred):
            return verdict
        verdict = sifted.after(verdict) if sifted.by else verdict
        before = quotas.given(namespace) if counted else None
        placed = quotas.place(verdict)
        more = {run.id for run in placed.runs if run.reason == "quota"} - refused
        if before is None or not more or given is EVERY:
            return placed
        quotas.restore(namespace, before)
        turns += 1
        refused |= more
