"""Making a job: its definition, its timer and what its past instants become, in one transaction."""

from uuid import UUID

from msgspec import Struct, structs

from scheduler_svc.api import audit
from scheduler_svc.api.check_definition import Bench, read_definition
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_change import moved
from scheduler_svc.api.job_quota import check_room
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.known_parts import KnownParts
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.domain.arming import Armed, arm, past_instants
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.decide import NewRun, PlannedJob
from scheduler_svc.domain.drift import expect, versions
from scheduler_svc.domain.errors import NameTaken
from scheduler_svc.domain.ids import RANDOM_BYTES, instant_at
from scheduler_svc.domain.ids import job_id as new_job_id
from scheduler_svc.domain.incidents import Memory, rules_for
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.store import expectations, incidents, jobs, timers
from scheduler_svc.store.jobs import TimerState
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import NIL

LOOKED_WITHIN_MS = 150_000
"""By then each replica has looked by itself: at most a minute asleep, at most a minute ahead."""


def draft(
    call: Call,
    now_ms: int,
    secrets: frozenset[str],
    rules: NamespaceRules,
    known: KnownParts | None = None,
) -> Job:
    """Read the request as a new job, active and not yet armed; raise Malformed, Invalid.

    `secrets` are the names that its templates may use, `rules` are those of its namespace, and
    `known` what was judged by these before.
    """
    now = instant_at(now_ms)
    job_id = new_job_id(now_ms, call.deps.random_bytes(RANDOM_BYTES))
    bench = bench_of(call, job_id, now_ms, secrets, rules)
    definition = read_definition(call.body, bench, known)
    return Job(
        id=job_id,
        namespace=call.namespace,
        definition=definition,
        state="active",
        pause=None,
        revision=1,
        created_at=now,
        updated_at=now,
        next_fire_at=None,
    )


def armed(
    job: Job, now_ms: int, plan: PlannedJob | None = None
) -> tuple[Job, Armed | None, list[NewRun]]:
    """Arm a new job: its state, its next occurrence, and what becomes of past instants."""
    plan = plan or planned(job)
    past = past_instants(plan, frozenset(), now_ms=now_ms, busy=False)
    made = sent(past)
    following = arm(plan, after_ms=now_ms, runs_made=made)
    if following is None:
        return structs.replace(job, state="completed", runs_made=made), None, past
    ready = structs.replace(
        job,
        scheduled_for=instant_at(following.scheduled_ms),
        next_fire_at=instant_at(following.fire_ms),
        runs_made=made,
    )
    return ready, following, past


class Made(Struct, frozen=True):
    """A new job, armed, with all that is written beside it."""

    job: Job
    plan: PlannedJob
    following: Armed | None
    past: list[NewRun]
    look: Memory | None


def make(call: Call, new: Job, now_ms: int) -> Made:
    """Arm a new job, and say what becomes of past instants and when its alerts look first."""
    plan = planned(new)
    job, following, past = armed(new, now_ms, plan)
    return Made(job, plan, following, past, first_look(call, job, now_ms))


async def insert(conn: Connection, call: Call, made: Made, now_ms: int, quotas: Quotas) -> Job:
    """Write a new job and wake the replicas; raise NameTaken, or QuotaExceeded."""
    job = made.job
    await check_room(conn, call, quotas, job.definition.name)
    plan = made.plan
    expected = expectations.of_one(expect(plan, now_ms), versions())
    timer = TimerState(job.scheduled_for, job.next_fire_at)
    wake = wake_ms(made, now_ms)
    await jobs.insert_job(conn, job, timer, expected=expected, wake_ms=wake)
    if made.past:
        at = None if made.following is None else made.following.scheduled_ms
        decision = moved(plan, at, sent(made.past), made.past)
        await timers.write_decisions(conn, [decision], replica=NIL, now_ms=now_ms)
    if made.look is not None:
        await incidents.watch_all(conn, {job.id: made.look})
    await audit.note_job(conn, call, Action.JOB_CREATED, None, job)
    return job


def wake_ms(made: Made, now_ms: int) -> int | None:
    """Return for when to wake the replicas; None where they will have looked before.

    A notice makes those who commit with one go one after the other, so none is sent for nothing.
    """
    if any(run.status == "due" for run in made.past):
        return now_ms
    fire_ms = None if made.following is None else made.following.fire_ms
    return None if fire_ms is None or fire_ms > now_ms + LOOKED_WITHIN_MS else fire_ms


def first_look(call: Call, job: Job, now_ms: int) -> Memory | None:
    """Return from when on a new job is looked at for its alerts; None where nobody is told."""
    rule = rules_for(job.definition.alerts, call.deps.namespace_alerts(job.namespace))
    return None if rule is None else incidents.first_look(planned(job), rule, now_ms=now_ms)


async def check_name(conn: Connection, namespace: str, name: str | None) -> None:
    """Raise NameTaken where a job of that name exists, for a dry run."""
    if name is not None and await jobs.find_id(conn, namespace, name) is not None:
        raise NameTaken(f"A job named '{name}' exists already.")


def sent(runs: list[NewRun]) -> int:
    """Count the runs that are sent, of those that past instants become."""
    return sum(run.status != "skipped" for run in runs)


def bench_of(
    call: Call, job_id: UUID, now_ms: int, secrets: frozenset[str], rules: NamespaceRules
) -> Bench:
    """Return what the definition of a new job is judged against."""
    return Bench(
        now_ms=now_ms,
        job_id=job_id,
        created_at=instant_at(now_ms),
        egress=call.deps.egress,
        namespace=call.namespace,
        ring=call.deps.ring,
        public_url=call.deps.public_url,
        secrets=secrets,
        narrower=rules.egress,
        quotas=rules.quotas,
        callbacks=call.deps.callbacks,
        retention_max_ms=call.deps.retention_max_ms,
    )
