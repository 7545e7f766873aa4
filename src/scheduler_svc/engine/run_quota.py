"""Runs a minute of a namespace, kept over all replicas; no statement where none has such a quota.

An occurrence beyond it begins in the next minute with room, and is `skipped` with the reason
`quota` where there is none before the job's next occurrence. Runs of the past are put off when they
are claimed, and so is what nobody sent in the minute that it was given. A calendar that another
replica is at is left to it: what needs it is looked at again.
"""

from collections.abc import Iterable, Sequence

from msgspec import structs

from scheduler_svc.domain.decide import Decision, NewRun, by_quota
from scheduler_svc.domain.deferral import Deferral
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.run_calendar import MINUTE_MS, MINUTES_MAX, Calendar
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import calendars as stored
from scheduler_svc.store.calendars import PutOff
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection, connection

Sent = tuple[ClaimedRun, KnownJob]
PutBack = tuple[list[Sent], frozenset[str]]
"""The runs that go, and the namespaces whose calendars could not be had."""
SOON_MS = 50
DAY_MS = MINUTES_MAX * MINUTE_MS


class RunQuotas:
    """The calendars that one transaction holds, and those that it could not have."""

    def __init__(self, quotas: dict[str, int], held: dict[str, Calendar]) -> None:
        self._quotas = quotas
        self._held = held
        self.missing = frozenset(quotas) - frozenset(held)
        """Another replica is at them, or they were never made."""

    def leaves(self, job: KnownJob) -> bool:
        """Tell whether nothing of a job can be decided now."""
        return job.plan.namespace in self.missing

    def place(self, decision: Decision) -> Decision:
        """Give the occurrences of a decision their minutes, or skip them."""
        quota = self._quotas.get(decision.job.namespace)
        if quota is None:
            return decision
        calendar = self._held[decision.job.namespace]
        runs = [_placed(calendar, quota, decision, run) for run in decision.runs]
        skipped = sum(
            new.status == "skipped" and old.status != "skipped"
            for old, new in zip(decision.runs, runs, strict=True)
        )
        # What was to make room for a run that is not made stays.
        cancel = [] if skipped else decision.cancel
        made = decision.runs_made - skipped
        return structs.replace(decision, runs=runs, cancel=cancel, runs_made=made)

    def given(self, namespace: str) -> Calendar | None:
        """Return what is given away of a namespace's minutes, as it is now."""
        calendar = self._held.get(namespace)
        return None if calendar is None else calendar.copy()

    def restore(self, namespace: str, before: Calendar) -> None:
        """Take back what was given away since."""
        self._held[namespace] = before

    def place_past(self, namespace: str) -> int | None:
        """Give a run of the past its instant; None where a day has no room."""
        return self._held[namespace].take_past(quota=self._quotas[namespace])

    def counts(self, namespace: str) -> bool:
        """Tell whether a namespace has such a quota."""
        return namespace in self._quotas

    async def save(self, conn: Connection) -> None:
        """Write what was given away."""
        for name, calendar in self._held.items():
            await stored.write_calendar(conn, name, calendar)


NO_RUN_QUOTAS = RunQuotas({}, {})


async def locked_for(
    parts: Parts, conn: Connection, jobs: Iterable[KnownJob], *, now_ms: int
) -> RunQuotas:
    """Lock the calendars of the namespaces of these jobs, where they have a quota."""
    if not parts.namespaces.limit_runs:
        return NO_RUN_QUOTAS
    quotas = {}
    for name in {job.plan.namespace for job in jobs}:
        quota = parts.namespaces.quotas(name).runs_per_minute
        if quota is not None:
            quotas[name] = quota
    if not quotas:
        return NO_RUN_QUOTAS
    return RunQuotas(quotas, await stored.lock_calendars(conn, quotas, now_ms=now_ms))


async def make_missing(parts: Parts, missing: frozenset[str]) -> None:
    """Make calendars, in a transaction that holds nothing else."""
    if missing:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            await stored.make_calendars(conn, missing)


async def put_off_stale(
    parts: Parts, conn: Connection, found: list[Sent], *, now_ms: int
) -> PutBack:
    """Of claimed runs that are not of the past put off those whose minute was long ago: all
    replicas were away, or their namespace was held, and they would all begin in one minute.
    """
    if not parts.namespaces.limit_runs:
        return found, NO_RUN_QUOTAS.missing
    stale = [sent for sent in found if _is_stale(sent[0], now_ms)]
    if not stale:
        return found, NO_RUN_QUOTAS.missing
    kept, missing = await put_off_past(parts, conn, stale, now_ms=now_ms)
    return [sent for sent in found if not _is_stale(sent[0], now_ms)] + kept, missing


async def put_off_past(
    parts: Parts, conn: Connection, found: list[Sent], *, now_ms: int
) -> PutBack:
    """Of claimed runs of the past keep those whose minute has come, and put off the others.

    Returns also the namespaces whose calendars could not be had.
    """
    quotas = await locked_for(parts, conn, [job for _, job in found], now_ms=now_ms)
    if quotas is NO_RUN_QUOTAS:
        return found, quotas.missing
    kept: list[Sent] = []
    off: list[PutOff] = []
    horizon_ms = now_ms + parts.limits.lookahead_ms
    for claim, job in found:
        name = job.plan.namespace
        stale = _is_stale(claim, now_ms)
        timely = claim.paced_ms is not None and not stale
        if claim.attempt > 1 or timely or not quotas.counts(name):
            kept.append((claim, job))
        elif quotas.leaves(job):
            # Not within the horizon: this pass would take it again and again.
            off.append((claim, (horizon_ms if stale else now_ms) + SOON_MS, None))
        elif (at := quotas.place_past(name)) is None:
            off.append((claim, now_ms + DAY_MS, None))
        elif at <= horizon_ms:
            kept.append((structs.replace(claim, fire_ms=max(claim.fire_ms, at)), job))
        else:
            off.append((claim, at, _note(claim.fire_ms, at)))
    await quotas.save(conn)
    await _put_off(parts, conn, off)
    return kept, quotas.missing


def _is_stale(claim: ClaimedRun, now_ms: int) -> bool:
    at = claim.paced_ms
    return at is not None and claim.attempt == 1 and at + MINUTE_MS <= now_ms


async def _put_off(parts: Parts, conn: Connection, off: Sequence[PutOff]) -> None:
    if off:
        await stored.put_off(conn, off, replica=parts.replica)


def _placed(calendar: Calendar, quota: int, decision: Decision, run: NewRun) -> NewRun:
    if run.trigger != "schedule" or run.status == "skipped":
        return run
    until_ms = run.fire_ms + DAY_MS
    if decision.fire_ms is not None and decision.scheduled_ms is not None:
        until_ms = min(until_ms, decision.fire_ms)
    at = calendar.take(run.fire_ms, quota=quota, until_ms=until_ms)
    if at is None:
        return by_quota(run)
    if at == run.fire_ms:
        return run
    return structs.replace(run, status="due", fire_ms=at, deferral=_note(run.fire_ms, at))


def _note(since_ms: int, at_ms: int) -> Deferral:
    return Deferral(
        reason="quota", key=None, count=1, since=instant_at(since_ms), until=instant_at(at_ms)
    )
