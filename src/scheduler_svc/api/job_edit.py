"""Giving a job a new definition: what PUT and PATCH have in common.

An edit of anything but the schedule leaves the timer where it is. A new schedule counts from now
on: what the old one had due is decided by the old one first.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct, json, structs

from scheduler_svc.api.check_definition import Bench
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_change import LockedJob, at_rest, moved, revised, write_change
from scheduler_svc.api.job_open import cancel_open, open_runs
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.domain.arming import (
    instants_of,
    passed_while_paused,
    past_instants,
    rearm,
    recorded_from,
)
from scheduler_svc.domain.decide import Deferred, NewRun, PlannedJob, Timer, decide
from scheduler_svc.domain.drift import expect, versions
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Definition, Job, Pause
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.recorded import NOTHING
from scheduler_svc.store import expectations, timers
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.run_lists import last_occurrence


def _text(definition: Definition) -> bytes:
    """Return a definition without what stands between its words: a body is kept as it was sent."""
    return json.format(json.encode(definition), indent=-1)


class Edit(Struct, frozen=True):
    """A job after an edit, and whether that changed it."""

    job: Job
    changed: bool


def bench(call: Call, locked: LockedJob, secrets: frozenset[str], rules: NamespaceRules) -> Bench:
    """Return what a new definition of a job is judged against; `secrets` are names."""
    return bench_of(call, locked.job, locked.now_ms, secrets, rules)


def bench_of(
    call: Call, job: Job, now_ms: int, secrets: frozenset[str], rules: NamespaceRules
) -> Bench:
    """Return the same for a job that nobody has locked."""
    return Bench(
        now_ms=now_ms,
        job_id=job.id,
        created_at=job.created_at,
        egress=call.deps.egress,
        namespace=job.namespace,
        ring=call.deps.ring,
        public_url=call.deps.public_url,
        secrets=secrets,
        narrower=rules.egress,
        quotas=rules.quotas,
        callbacks=call.deps.callbacks,
        retention_max_ms=call.deps.retention_max_ms,
        stored=job.definition,
    )


async def edit(conn: Connection, locked: LockedJob, definition: Definition) -> Edit:
    """Give a locked job another definition; the same one again changes nothing."""
    old = locked.job.definition
    if _text(old) == _text(definition):
        return Edit(locked.job, changed=False)
    if old.schedule == definition.schedule:
        job = await write_change(conn, locked, revised(locked, definition))
    else:
        paused = locked.job.state == "paused"
        job = await (_reschedule_paused if paused else _reschedule)(conn, locked, definition)
        await expectations.write(conn, [expect(planned(job), locked.now_ms)], versions())
    return Edit(job, changed=True)


async def recorded_until(conn: Connection, locked: LockedJob) -> int:
    """Return up to where the ledger holds a paused job's occurrences, in epoch milliseconds.

    A run that left while its job was being paused lies beyond what the pause says.
    """
    if locked.job.pause is None:
        return locked.now_ms
    after_ms = recorded_from(locked.job.pause, locked.plan)
    return await last_occurrence(conn, locked.job.id, after_ms=after_ms, until_ms=locked.now_ms)


async def _reschedule_paused(conn: Connection, locked: LockedJob, definition: Definition) -> Job:
    """Write what the old schedule missed to the ledger: the pause counts on by the new one."""
    after_ms = await recorded_until(conn, locked)
    made = locked.runs_made
    missed = passed_while_paused(
        locked.plan,
        "skip",
        after_ms=after_ms,
        now_ms=locked.now_ms,
        runs_made=made,
        busy=False,
    )
    pause = locked.job.pause or Pause(reason=None, since=locked.now)
    after = structs.replace(
        revised(locked, definition), pause=structs.replace(pause, recorded_until=locked.now)
    )
    past = _new_past(locked, planned(after), busy=False)
    made += sum(run.status != "skipped" for run in past)
    return await write_change(conn, locked, after, at_rest(after, made, [*missed, *past]))


async def _reschedule(conn: Connection, locked: LockedJob, definition: Definition) -> Job:
    """Put the timer to the first occurrence of the new schedule after now."""
    after = revised(locked, definition)
    plan = planned(after)
    standing = await open_runs(conn, locked)
    due, made, cancelled = await _overdue(conn, locked, standing)
    await cancel_open(conn, cancelled, now_ms=locked.now_ms)
    past = _new_past(locked, plan, busy=bool(standing or due))
    made += sum(run.status != "skipped" for run in past)
    following = rearm(plan, pending_ms=pending(locked), now_ms=locked.now_ms, runs_made=made)
    state: Literal["active", "completed"] = "completed" if following is None else "active"
    move = moved(plan, following.scheduled_ms if following else None, made, [*due, *past])
    return await write_change(conn, locked, structs.replace(after, state=state), move)


def pending(locked: LockedJob) -> int | None:
    """Return the occurrence of the present schedule that is next, taken back or not yet claimed."""
    if locked.unsent is not None:
        return locked.unsent.first_ms
    scheduled_for = locked.timer.scheduled_for
    return None if scheduled_for is None else epoch_ms(scheduled_for)


async def _overdue(
    conn: Connection, locked: LockedJob, standing: list[OpenRun]
) -> tuple[list[NewRun], int, list[UUID]]:
    """Decide by the old schedule what was due before the edit and nobody had claimed.

    Returns the rows, the runs made by then, and the runs that make way.
    """
    at = locked.timer
    runs: list[NewRun] = []
    cancelled: list[UUID] = []
    made, standing = locked.runs_made, list(standing)
    next_ms, fire_ms = _ms(at.scheduled_for), _ms(at.fire_at)
    while next_ms is not None and fire_ms is not None and fire_ms <= locked.now_ms:
        timer = Timer(locked.job.id, next_ms, fire_ms, locked.job.revision, made)
        rows = await timers.recorded_occurrences(conn, [(timer.job_id, next_ms)])
        recorded = rows.get(timer.job_id, NOTHING)
        verdict = decide(locked.plan, timer, standing, now_ms=locked.now_ms, recorded=recorded)
        if isinstance(verdict, Deferred):
            break
        runs += verdict.runs
        cancelled += verdict.cancel
        standing = [one for one in standing if one.id not in verdict.cancel]
        standing += [OpenRun(r.id, r.queued) for r in verdict.runs if r.status != "skipped"]
        made, next_ms, fire_ms = verdict.runs_made, verdict.scheduled_ms, verdict.fire_ms
    return _waiting(runs), made, cancelled


def _ms(at: datetime | None) -> int | None:
    return None if at is None else epoch_ms(at)


def _waiting(runs: list[NewRun]) -> list[NewRun]:
    """Make what the tick would send at once wait for a replica to claim it."""
    return [structs.replace(run, status="due") if run.status == "running" else run for run in runs]


def _new_past(locked: LockedJob, plan: PlannedJob, *, busy: bool) -> list[NewRun]:
    """Judge the past instants of an `at` that are new in this edit."""
    return past_instants(plan, instants_of(locked.plan), now_ms=locked.now_ms, busy=busy)
