"""GET /jobs/{id}/explain: what became, or will become, of an instant, and by which rule."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_examples import RUN_ID
from scheduler_svc.api.job_find import find_job
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire import Stamp, stamp_ms
from scheduler_svc.domain.explain import Question, explain
from scheduler_svc.domain.explain_run import Entry
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.occurrences import HORIZON, previous_before_or_at
from scheduler_svc.domain.schedule import Instant
from scheduler_svc.store import explanations
from scheduler_svc.store.holds import is_held
from scheduler_svc.store.pool import Connection, connection


class Explanation(Struct, frozen=True, kw_only=True):
    """What became, or will become, of an instant of a job."""

    at: Stamp
    verdict: Literal["fired", "fires", "skipped", "never"]
    reason: Annotated[
        str,
        Meta(description="The rule: a reason code of the ledger, or what keeps the instant out."),
    ]
    detail: Annotated[str, Meta(description="The same as a sentence.")]
    run_id: UUID | None


async def explain_instant(call: Call) -> Reply:
    """Answer for any instant, past or future."""
    asked_for = call.query["at"]
    async with connection(call.deps.pool) as conn:
        job = await find_job(conn, call.namespace, call.path["id"])
        now_ms = call.deps.now_ms()
        at_ms = now_ms if asked_for is None else epoch_ms(asked_for)
        entry = await _entry(conn, job, at_ms)
        history_ms = await explanations.history_begins(conn, job.id)
        archived = await explanations.archived(conn, at_ms, history_ms)
        held = call.deps.held(call.namespace) and await is_held(conn, call.namespace)
    told = explain(
        Question(
            job=job,
            plan=planned(job),
            at_ms=at_ms,
            now_ms=now_ms,
            entry=entry,
            history_ms=history_ms,
            held=held,
            archived=archived,
        )
    )
    return Reply(
        body=Explanation(
            at=stamp_ms(at_ms),
            verdict=told.verdict,
            reason=told.reason,
            detail=told.detail,
            run_id=told.run_id,
        )
    )


async def _entry(conn: Connection, job: Job, at_ms: int) -> Entry | None:
    """Look into the ledger; a range says nothing of an instant that lies between its occurrences.

    An instant that only an earlier schedule named has a row too, where it is an end of the range.
    """
    if not 0 <= at_ms <= HORIZON:
        return None
    entry = await explanations.entry_at(conn, job.id, at_ms)
    if entry is None or entry.until is None:
        return entry
    ends = epoch_ms(entry.scheduled_for), epoch_ms(entry.until)
    if at_ms in ends or previous_before_or_at(planned(job).timetable, at_ms) == at_ms:
        return entry
    return None


ROUTES = (
    Route(
        method="GET",
        standby=True,
        path="/jobs/{id}/explain",
        handler=explain_instant,
        operation_id="explain_instant",
        summary="Explain an instant of a job",
        description=(
            "Past or future: whether the job `fired`, `fires`, was or will be `skipped`, or `never`"
            " runs then, by which rule, and the run in the ledger."
        ),
        tag="jobs",
        params=(QueryParam(name="at", type=Instant, description="The instant; now by default."),),
        answers={
            200: Answer(
                description="A verdict, a reason and a sentence.",
                type=Explanation,
                example={
                    "at": "2026-01-05T08:00:00Z",
                    "verdict": "skipped",
                    "reason": "overlap",
                    "detail": "It was not sent: another run of the job was unfinished, and its"
                    " overlap policy said to skip.",
                    "run_id": RUN_ID,
                },
            )
        },
        problems=(404,),
    ),
)
