"""POST /jobs/{id}/trigger: a run now, beside the cadence and without moving it.

Works on paused and completed jobs. Overlap is judged under the lock of the job's timer, by the
unfinished runs that have left: what is only claimed ahead is taken back first.
"""

from typing import Literal
from uuid import UUID

from msgspec import Struct, structs

from scheduler_svc.api import audit, etag, handover, tracing
from scheduler_svc.api.check_headers import header_faults, size_faults
from scheduler_svc.api.check_secrets import (
    Safe,
    header_secret_faults,
    masked_size_faults,
    sealed_headers,
    stored_secrets,
)
from scheduler_svc.api.check_target import body_size_fault
from scheduler_svc.api.check_templates import (
    Fillers,
    body_template_faults,
    header_template_faults,
    secret_names,
)
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.holds import refuse_held
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.job_change import LockedJob, lock_job, move_timer, moved
from scheduler_svc.api.job_open import cancel_open, open_runs, release_queued
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import IF_MATCH, Answer, Body, Route
from scheduler_svc.api.run_quota import count_runs
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_jobs import UNSAID, JobTriggerRequest
from scheduler_svc.api.wire_runs import Run, run_view
from scheduler_svc.domain import overlap, runs
from scheduler_svc.domain.errors import Invalid, Overlapping
from scheduler_svc.domain.ids import RANDOM_BYTES, random_run_id, scheduled_ms_of
from scheduler_svc.domain.jobs import Job, Overlap
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.quotas import Quotas, body_fault, sent_size
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.domain.secrecy import MASK, is_secret_header, place_of_target
from scheduler_svc.store import notices
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.runs import ExtraRun, get_run, insert_run

EMPTY = b"{}"


class Triggered(Struct, frozen=True):
    """A run that was made; `queued` behind another, `taken` where unsent runs were taken back."""

    job: Job
    run: runs.Run
    queued: bool
    taken: bool


async def trigger_job(call: Call) -> Reply:
    """Make a run that is due now."""
    asked = _read(call.body)
    names = await secret_names(call)
    async with writing(call) as conn:
        made = await make_run(conn, call, asked, names)
        run = made.run
        reply = Reply(status=202, body=run_view(run), headers={"Location": f"/runs/{run.id}"})
        reply = await keep(conn, call, reply)
    if made.queued:
        await release_queued(call, made.job.id)
    if made.taken:
        await handover.given_up(call, made.job.id)
    return reply


async def make_run(
    conn: Connection,
    call: Call,
    asked: JobTriggerRequest,
    names: frozenset[str],
    run_id: UUID | None = None,
) -> Triggered:
    """Make a run of the job that the call names, of this id where one was promised."""
    locked = await lock_job(conn, call, call.path["id"])
    etag.check(call.headers, etag.of(locked.job.revision))
    await refuse_held(conn, call)
    quotas = (await rules_of(conn, call)).quotas
    _check_body(asked, quotas)
    asked = _sealed(call, asked, locked, names)
    await count_runs(conn, call, quotas)
    policy = asked.overlap or locked.job.definition.overlap
    taken = locked.unsent is not None and policy != "allow"
    queued = await _judge(conn, locked, policy, taken=taken) == "queue"
    if run_id is None:
        run_id = random_run_id(locked.now_ms, call.deps.random_bytes(RANDOM_BYTES))
    run = await _insert(conn, call, locked, asked, run_id=run_id, queued=queued)
    await audit.note_triggered(conn, call, locked.job, run, _overrides(asked))
    return Triggered(locked.job, run, queued, taken)


def _read(raw: bytes) -> JobTriggerRequest:
    asked = decode(raw or EMPTY, JobTriggerRequest)
    faults = [
        *header_faults(asked.headers, "/headers"),
        *body_size_fault(len(bytes(asked.body)), "/body"),
    ]
    if faults:
        raise Invalid(faults)
    return asked


def _check_body(asked: JobTriggerRequest, quotas: Quotas) -> None:
    if faults := list(body_fault(quotas, sent_size(asked.body), "/body")):
        raise Invalid(faults)


def _sealed(
    call: Call, asked: JobTriggerRequest, locked: LockedJob, names: frozenset[str]
) -> JobTriggerRequest:
    """Judge what is given against the job, as it will be sent with it, and seal its secrets."""
    definition = locked.job.definition
    safe = Safe(
        ring=call.deps.ring,
        place=place_of_target(locked.job.namespace, locked.job.id),
        stored=stored_secrets(definition),
    )
    fillers = Fillers(labels=definition.labels, secrets=names)
    given = {name.lower() for name in asked.headers}
    kept = {
        name: MASK if is_secret_header(name) else value
        for name, value in definition.target.headers.items()
        if name.lower() not in given
    }
    faults = [
        *size_faults({**kept, **asked.headers}, "/headers"),
        *masked_size_faults({**kept, **asked.headers}, safe, "/headers"),
        *header_secret_faults(asked.headers, safe, "/headers"),
        *header_template_faults(asked.headers, fillers, "/headers"),
        *body_template_faults(bytes(asked.body), fillers, "/body"),
    ]
    if faults:
        raise Invalid(list(dict.fromkeys(faults)))
    return structs.replace(asked, headers=sealed_headers(asked.headers, safe))


async def _judge(
    conn: Connection, locked: LockedJob, policy: Overlap, *, taken: bool
) -> Literal["send", "queue"]:
    """Apply the overlap policy; raise Overlapping where it is `skip` and a run is unfinished."""
    if taken and locked.unsent is not None:
        await move_timer(conn, locked, moved(locked.plan, locked.unsent.first_ms, locked.runs_made))
    standing = await open_runs(conn, locked)
    verdict = overlap.judge(policy, standing)
    if verdict.then == "skip":
        raise Overlapping(_refusal(policy, standing))
    await cancel_open(conn, verdict.cancel, now_ms=locked.now_ms)
    return verdict.then


def _refusal(policy: Overlap, standing: list[OpenRun]) -> str:
    if policy == "queue":
        return "A run of the job waits behind another already; `queue` holds one."
    return f'Run {standing[0].id} is unfinished; say {{"overlap": "allow"}} to run beside it.'


async def _insert(
    conn: Connection,
    call: Call,
    locked: LockedJob,
    asked: JobTriggerRequest,
    *,
    run_id: UUID,
    queued: bool,
) -> runs.Run:
    job, now_ms = locked.job, locked.now_ms
    extra = ExtraRun(
        id=run_id,
        scheduled_ms=scheduled_ms_of(run_id),
        job_id=job.id,
        job_name=job.definition.name,
        namespace=job.namespace,
        trigger="manual",
        priority=job.definition.priority,
        due_ms=now_ms,
        queued=queued,
        overrides=tracing.asked_by(call, _overrides(asked)),
    )
    await insert_run(conn, extra)
    tracing.asked_for(call, extra.id)
    if not queued:
        await notices.wake(conn, now_ms)
    found = await get_run(conn, job.namespace, extra.id)
    if found is None:
        raise RuntimeError("a run that was just written is not there")
    return found[0]


def _overrides(asked: JobTriggerRequest) -> Overrides | None:
    body = None if bytes(asked.body) == bytes(UNSAID) else bytes(asked.body).decode()
    if body is None and not asked.headers:
        return None
    return Overrides(headers=asked.headers or None, body=body)


ROUTES = (
    Route(
        method="POST",
        path="/jobs/{id}/trigger",
        handler=trigger_job,
        operation_id="trigger_job",
        summary="Run a job now",
        description=(
            "Beside the cadence, which does not move; also while the job is paused or completed."
            " Under `overlap: skip` with a run unfinished it is refused, unless the body says"
            ' `"overlap": "allow"`; under `queue` it waits, under `cancel` it replaces.'
        ),
        tag="jobs",
        headers=(IF_MATCH,),
        body=Body(
            type=JobTriggerRequest,
            required=False,
            examples={"with a body of its own": {"body": {"month": "2026-01"}}},
        ),
        answers={
            202: Answer(
                description="The run, due now.", type=Run, headers={"Location": "The run's path."}
            )
        },
        problems=(404, 409, 412),
    ),
)
