"""Held namespaces, as the claim meets them: their timers are parked and their runs put aside.

Promises that a namespace which is not held costs one look at an empty dictionary. What is held is
known before this replica has its lease; that it still is, the database says within the claim.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import Decision, Timer
from scheduler_svc.domain.holds import Hold, after_hold, under_hold
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.store import holds
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.settlements import Held


class KnownHolds:
    """What is held, as of the last heartbeat, with what was decided about it."""

    def __init__(self) -> None:
        self.found: dict[str, Hold] = {}

    def __contains__(self, namespace: str) -> bool:
        return namespace in self.found

    def __len__(self) -> int:
        return len(self.found)

    @property
    def undecided(self) -> int:
        """Count the namespaces that wait for somebody's word."""
        return sum(hold.missed is None for hold in self.found.values())


class Sift(msgspec.Struct, frozen=True):
    """Of locked timers those to decide, when to look at others again, and what holds for whom."""

    known: dict[UUID, KnownJob]
    again: list[int] = []
    by: Mapping[UUID, Hold] = {}

    def after(self, decision: Decision) -> Decision:
        """Return what a decision is where somebody said what becomes of what was held."""
        hold = self.by.get(decision.job.id)
        return decision if hold is None else after_hold(decision, hold)


async def sift(
    known_holds: KnownHolds,
    conn: Connection,
    locked: Sequence[Timer],
    known: dict[UUID, KnownJob],
    *,
    now_ms: int,
) -> Sift:
    """Park the due timers of held namespaces; judge those that are let go by what was decided."""
    if not known_holds.found:
        return Sift(known)
    named = {job.plan.namespace for job in known.values()} & known_holds.found.keys()
    held = await holds.share(conn, sorted(named)) if named else {}
    if not held:
        return Sift(known)
    parked: list[UUID] = []
    again: list[int] = []
    by: dict[UUID, Hold] = {}
    for timer in locked:
        job = known.get(timer.job_id)
        hold = None if job is None else held.get(job.plan.namespace)
        if job is None or hold is None or timer.scheduled_ms is None:
            continue
        if hold.decided_at is None:
            del known[timer.job_id]
            if timer.fire_ms > now_ms:
                again.append(timer.fire_ms)
            else:
                parked.append(timer.job_id)
        elif timer.scheduled_ms <= epoch_ms(hold.decided_at):
            by[timer.job_id] = hold
            plan = under_hold(job.plan, hold, now_ms=now_ms)
            known[timer.job_id] = msgspec.structs.replace(job, plan=plan)
    if parked:
        await holds.park_timers(conn, parked)
    return Sift(known, again, by)


async def keep_back(
    known_holds: KnownHolds,
    conn: Connection,
    found: list[tuple[ClaimedRun, KnownJob]],
    *,
    replica: UUID,
) -> list[tuple[ClaimedRun, KnownJob]]:
    """Put aside claimed runs of held namespaces, and those that are about to be skipped."""
    if not known_holds.found:
        return found
    named = {job.plan.namespace for _, job in found} & known_holds.found.keys()
    held = await holds.share(conn, sorted(named)) if named else {}
    aside = [claim for claim, job in found if _stays(held.get(job.plan.namespace), claim)]
    if not aside:
        return found
    keys = [Held(claim.id, claim.scheduled_ms, claim.attempt) for claim in aside]
    await holds.hold_runs(conn, keys, replica=replica)
    ids = {claim.id for claim in aside}
    return [(claim, job) for claim, job in found if claim.id not in ids]


def _stays(hold: Hold | None, claim: ClaimedRun) -> bool:
    if hold is None:
        return False
    if hold.decided_at is None:
        return True
    return hold.missed == "skip" and claim.scheduled_ms <= epoch_ms(hold.decided_at)
