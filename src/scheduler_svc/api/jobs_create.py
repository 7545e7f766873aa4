"""POST /jobs: create a job, or only look at what would be created."""

from scheduler_svc.api import etag, herd, identity, job_create, job_quota, unsigned
from scheduler_svc.api.check_templates import secret_names
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.job_at_once import at_once
from scheduler_svc.api.job_examples import EXAMPLES, JOB
from scheduler_svc.api.job_view import job_view
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import Answer, Body, QueryParam, Route
from scheduler_svc.api.wire_jobs import Job
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.store.pool import connection

DRY_UPCOMING = 20


async def create_job(call: Call) -> Reply:
    """Create a job; with `dry_run` validate, and show what it would be."""
    now_ms = call.deps.now_ms()
    if not call.query["dry_run"] and (reply := await at_once(call, now_ms)) is not None:
        return reply
    names = await secret_names(call)
    async with connection(call.deps.pool) as conn:
        rules = await rules_of(conn, call)
    new = job_create.draft(call, now_ms, names, rules)
    if call.query["dry_run"]:
        async with connection(call.deps.pool) as conn:
            await job_create.check_name(conn, call.namespace, new.definition.name)
            await job_quota.check_room(conn, call, rules.quotas, None, lock=False)
            shown = job_create.armed(new, now_ms)[0]
            also = [*await herd.of_job(conn, shown), *await unsigned.of_job(conn, call, shown)]
        view = job_view(shown, now_ms=now_ms, upcoming=DRY_UPCOMING, dry=True, also=also)
        return Reply(body=view)
    made = job_create.make(call, new, now_ms)
    async with writing(call) as conn:
        job = made.job
        also = [*await herd.of_job(conn, job), *await unsigned.of_job(conn, call, job)]
        await job_create.insert(conn, call, made, now_ms, rules.quotas)
        await identity.ensure(conn, call, job.definition)
        reply = Reply(
            status=201,
            body=job_view(job, now_ms=now_ms, also=also),
            headers={"Location": f"/jobs/{job.id}", "ETag": etag.of(job.revision)},
        )
        reply = await keep(conn, call, reply)
    call.deps.on_event(EventName.JOB_CREATED, job_id=job.id, namespace=call.namespace)
    return reply


ROUTES = (
    Route(
        method="POST",
        path="/jobs",
        handler=create_job,
        operation_id="create_job",
        summary="Create a job",
        description="Only `schedule` and `target` are needed; everything else has a default.",
        tag="jobs",
        params=(
            QueryParam(
                name="dry_run",
                type=bool,
                default=False,
                description="Validate and show the next 20 occurrences, without saving.",
            ),
        ),
        body=Body(type=Definition, examples=EXAMPLES),
        answers={
            201: Answer(
                description="The job.",
                type=Job,
                headers={"Location": "The job's path.", "ETag": "The job's revision."},
                example=JOB,
            ),
            200: Answer(description="What would be created (`dry_run`).", type=Job),
        },
        problems=(409,),
    ),
)
