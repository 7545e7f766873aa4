"""POST /runs/{id}/complete and /heartbeat: what the target of a callback job says of its run.

Authorised by the one-time token that the attempt carried, and by nothing else. A report counts
once: the same one again is answered as the first was, another one is refused. While the attempt's
own answer is not settled yet, the report waits for that on the row.
"""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from scheduler_svc.api import audit, tracing
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.run_get import path_run
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_runs import Run, run_view
from scheduler_svc.domain import runs
from scheduler_svc.domain.completion import attempt_of
from scheduler_svc.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.incidents import End, rules_for
from scheduler_svc.domain.runs import CompletionStatus
from scheduler_svc.store import completion, incidents, jobs, notices, settlements
from scheduler_svc.store.incidents import Case, Noted
from scheduler_svc.store.pool import Connection, transaction

DETAIL_MAX = 4096
BEARER = "bearer "


class RunReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run ended, by its target, and a word about it."""

    status: CompletionStatus
    detail: Annotated[str, Meta(max_length=DETAIL_MAX)] | None = None


async def complete_run(call: Call) -> Reply:
    """End a run by the report of its target."""
    run_id, attempt = _judged(call)
    report = decode(call.body, RunReport)
    now_ms = call.deps.now_ms()
    noted, freed, ended = Noted(), False, False
    async with transaction(call.deps.pool) as conn:
        run = await _lock(conn, run_id, attempt)
        same = (run.completion_status, run.completion_detail) == (report.status, report.detail)
        if run.completion_status is None and run.status in runs.UNFINISHED:
            ended = run.status == "due" or run.awaits
            if ended:
                await completion.end_by_report(
                    conn, run_id, report.status, report.detail, now_ms=now_ms
                )
                freed = bool(await settlements.release_queued(conn, [run.job_id], now_ms=now_ms))
                noted = await _note(conn, call, run, now_ms)
            else:
                await completion.note_report(conn, run_id, report.status, report.detail)
            await audit.note_report(conn, call, run, report)
        elif not same:
            raise Conflict(_refusal(run))
        after = await completion.lock_reported(conn, run_id)
        if freed or noted.told:
            await notices.wake(conn, now_ms)
    if after is None:
        raise RuntimeError("a run vanished under its lock")
    if ended:
        _tell(call, after, noted)
    return Reply(body=run_view(after))


async def heartbeat_run(call: Call) -> Reply:
    """Give a run that awaits its report the whole time-out once more."""
    run_id, attempt = _judged(call)
    async with transaction(call.deps.pool) as conn:
        run = await _lock(conn, run_id, attempt)
        if run.status != "running" or run.completion_status is not None:
            raise Conflict(_refusal(run))
        # Before the attempt's own answer is settled the time-out has not begun.
        if run.awaits:
            await completion.extend(conn, run_id, now_ms=call.deps.now_ms())
        after = await completion.lock_reported(conn, run_id)
    if after is None:
        raise RuntimeError("a run vanished under its lock")
    return Reply(body=run_view(after))


def _judged(call: Call) -> tuple[UUID, int]:
    """Judge the token, before anything is looked up; return the run and the attempt it is of."""
    run_id = path_run(call.path["id"])
    given = call.headers.get("authorization", "")
    if not given.lower().startswith(BEARER):
        raise Unauthenticated("Send the run's Scheduler-Completion-Token as a bearer token.")
    keys = call.deps.callbacks.keys
    attempt = None if run_id is None else attempt_of(keys, run_id, given[len(BEARER) :].strip())
    if run_id is None or attempt is None:
        raise Unauthenticated(
            "The token is not one that this service gave out for this run.", given=True
        )
    return run_id, attempt


async def _lock(conn: Connection, run_id: UUID, attempt: int) -> runs.Run:
    """Lock the job's timer and then the run; raise where the token is of an earlier attempt."""
    seen = await completion.job_of(conn, run_id)
    if seen is not None:
        await jobs.lock_timer(conn, seen)
    run = await completion.lock_reported(conn, run_id)
    if run is None:
        raise NotFound(f"There is no run '{run_id}' any more.")
    if attempt != run.attempt_count:
        raise Forbidden(
            f"The token is of attempt {attempt}; the run is at attempt {run.attempt_count}."
        )
    return run


def _refusal(run: runs.Run) -> str:
    if run.status == "due":
        return "The attempt has failed and its retry waits: there is nothing to extend."
    if run.status == "running":
        return f"The run was reported as {run.completion_status} already."
    why = "" if run.reason is None else f" ({run.reason})"
    return f"The run has ended already: it is {run.status}{why}."


async def _note(conn: Connection, call: Call, run: runs.Run, now_ms: int) -> Noted:
    """Let the job's alerts know of the end, where it has any."""
    job = await jobs.get_job(conn, run.namespace, run.job_id)
    after = await completion.lock_reported(conn, run.id)
    if job is None or after is None:
        return Noted()
    rule = rules_for(job.definition.alerts, call.deps.namespace_alerts(job.namespace))
    if rule is None and job.definition.auto_pause_after == 0:
        return Noted()
    case = Case(planned(job), rule, _end(after))
    return await incidents.note(conn, [case], now_ms=now_ms, draw=call.deps.random_bytes)


def _end(run: runs.Run) -> End:
    return End(
        run_id=run.id,
        job_id=run.job_id,
        namespace=run.namespace,
        trigger=run.trigger,
        scheduled_ms=epoch_ms(run.scheduled_for),
        status=run.status,
        reason=run.reason,
        attempt_count=run.attempt_count,
        started_at=run.started_at,
        lateness_ms=run.lateness_ms,
        duration_ms=run.duration_ms,
        by_filter=run.replay_id is not None,
    )


def _tell(call: Call, run: runs.Run, noted: Noted) -> None:
    failed = run.status == "failed"
    tracing.run_ended(call.deps, run)
    call.deps.on_event(
        EventName.RUN_FAILED if failed else EventName.RUN_SUCCEEDED,
        run_id=run.id,
        job_id=run.job_id,
        attempt=run.attempt_count,
        outcome=None,
        status_code=None,
        reason=run.reason,
        duration_ms=run.duration_ms,
        lateness_ms=None,
    )
    for job_id, reason in noted.paused.items():
        call.deps.on_event(EventName.JOB_PAUSED, job_id=job_id, reason=reason)
    for told in noted.told:
        call.deps.on_event(
            EventName.ALERT_RAISED,
            run_id=told.run_id,
            job_id=told.job_id,
            condition=told.condition,
        )


_DESCRIPTION = (
    "For runs of jobs with `completion: callback`, whose target got `Scheduler-Completion-URL` and"
    " `Scheduler-Completion-Token`. Sent to any replica, as `Authorization: Bearer TOKEN`."
)

ROUTES = (
    Route(
        method="POST",
        path="/runs/{id}/complete",
        handler=complete_run,
        operation_id="complete_run",
        summary="Report the end of a run",
        description=(
            f"{_DESCRIPTION} The first report counts; the same again is answered as the first was,"
            " another is 409, as is one after the time-out or a cancel. 403 where a later attempt"
            " is under way."
        ),
        tag="runs",
        security=("completion",),
        body=Body(
            type=RunReport,
            examples={
                "it is done": {"status": "succeeded"},
                "it went wrong": {"status": "failed", "detail": "the disk is full"},
            },
        ),
        answers={
            200: Answer(
                description=(
                    "The run. It is `running` still where its attempt was not settled yet: it ends"
                    " with that."
                ),
                type=Run,
            )
        },
        problems=(401, 403, 404, 409),
    ),
    Route(
        method="POST",
        path="/runs/{id}/heartbeat",
        handler=heartbeat_run,
        operation_id="heartbeat_run",
        summary="Say that a run is still worked on",
        description=f"{_DESCRIPTION} The time-out begins anew.",
        tag="runs",
        security=("completion",),
        answers={200: Answer(description="The run, with its new time-out.", type=Run)},
        problems=(401, 403, 404, 409),
    ),
)
