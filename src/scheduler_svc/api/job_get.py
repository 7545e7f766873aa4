"""GET /jobs/{id} and its occurrences to come."""

from typing import Annotated, Literal

from msgspec import Meta, Raw, json, structs

from scheduler_svc.api import etag, unsigned
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_examples import JOB
from scheduler_svc.api.job_find import find_job, no_job
from scheduler_svc.api.job_view import (
    coming,
    job_view,
    planned,
    shown_occurrences,
    warnings,
    within_max_runs,
)
from scheduler_svc.api.route import IF_NONE_MATCH, Answer, QueryParam, Route
from scheduler_svc.api.wire_jobs import Job as JobAnswer
from scheduler_svc.api.wire_jobs import JobWarning, Preview
from scheduler_svc.domain.describe import describe
from scheduler_svc.domain.ids import epoch_ms, read_id
from scheduler_svc.domain.jobs import Definition, Job
from scheduler_svc.domain.occurrences import take
from scheduler_svc.domain.schedule import Instant
from scheduler_svc.domain.secrecy import masked_target
from scheduler_svc.store.pool import connection


async def get_job(call: Call) -> Reply:
    """Return a job; with `view=spec` only what PUT accepts."""
    job, also = await _found(call, call.path["id"])
    tag = etag.of(job.revision)
    if etag.not_modified(call.headers, tag):
        return Reply(status=304, headers={"ETag": tag})
    if call.query["view"] == "spec":
        target = masked_target(job.definition.target)
        shown = structs.replace(job.definition, target=target)
        return Reply(body=Raw(json.encode(shown)), headers={"ETag": tag})
    now_ms = call.deps.now_ms()
    if also:
        return Reply(body=job_view(job, now_ms=now_ms, also=also), headers={"ETag": tag})
    return Reply(body=call.deps.shown.text(job, now_ms=now_ms), headers={"ETag": tag})


async def _found(call: Call, key: str) -> tuple[Job, list[JobWarning]]:
    """Return a job with the warnings that come of more than itself; raise NotFound."""
    if (given := read_id(key)) is not None:
        job = await call.deps.reads.get_job(call.namespace, given)
        if job is None:
            raise no_job(key)
        if not job.definition.target.sign:
            return job, []
    async with connection(call.deps.pool) as conn:
        job = await find_job(conn, call.namespace, key)
        return job, await unsigned.of_job(conn, call, job)


async def list_upcoming(call: Call) -> Reply:
    """List the next occurrences of a job, after now or after `from`."""
    async with connection(call.deps.pool) as conn:
        job = await find_job(conn, call.namespace, call.path["id"])
    now_ms = call.deps.now_ms()
    plan = planned(job)
    begin, count = call.query["from"], call.query["count"]
    if begin is None:
        instants = coming(job, plan, now_ms=now_ms, count=count)
    else:
        instants = within_max_runs(job, take(plan.timetable, epoch_ms(begin), count))
    return Reply(
        body=Preview(
            occurrences=shown_occurrences(plan.timetable, instants),
            description=describe(job.definition.schedule),
            warnings=warnings(plan, now_ms if begin is None else epoch_ms(begin)),
        )
    )


ROUTES = (
    Route(
        method="GET",
        path="/jobs/{id}",
        handler=get_job,
        operation_id="get_job",
        summary="Read a job",
        tag="jobs",
        params=(
            QueryParam(
                name="view",
                type=Literal["full", "spec"],
                default="full",
                description="`spec` answers only what PUT accepts.",
            ),
        ),
        headers=(IF_NONE_MATCH,),
        answers={
            200: Answer(
                description="The job; with `view=spec` its definition.",
                type=(JobAnswer, Definition),
                headers={"ETag": "The job's revision."},
                example=JOB,
            ),
            304: Answer(
                description="The job still has that ETag.", headers={"ETag": "The job's revision."}
            ),
        },
        problems=(404,),
    ),
    Route(
        method="GET",
        path="/jobs/{id}/upcoming",
        handler=list_upcoming,
        operation_id="list_upcoming",
        summary="List a job's next occurrences",
        description="Where the job is paused, those that its schedule goes on naming.",
        tag="jobs",
        params=(
            QueryParam(
                name="count",
                type=Annotated[int, Meta(ge=1, le=1000)],
                default=10,
                description="How many.",
            ),
            QueryParam(
                name="from",
                type=Instant,
                description="Only occurrences strictly after this instant; now by default.",
            ),
        ),
        answers={200: Answer(description="Its next occurrences.", type=Preview)},
        problems=(404,),
    ),
)
