"""POST /jobs/bulk-actions: pause, resume, delete or trigger all jobs that a filter matches.

The jobs are those that match when the request arrives. They are changed batch by batch, each batch
in a transaction of its own, so that no lock is held for long; the answer counts what was done.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from scheduler_svc.api import audit, bulk_act, handover
from scheduler_svc.api.bulk_act import Acted
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.holds import refuse_held
from scheduler_svc.api.job_open import release_queued
from scheduler_svc.api.jobs_list import labels_of
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.run_quota import count_runs
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_bulk import BulkActed, BulkActionRequest, BulkFilter
from scheduler_svc.domain.audit import Action as Audited
from scheduler_svc.domain.errors import Conflict, Fault, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.store import bulk_change
from scheduler_svc.store.job_lists import JobFilter
from scheduler_svc.store.pool import Connection, connection, transaction

BATCH = 200
MATCHED_MAX = 100_000
Action = Callable[[Connection, Call, Sequence[UUID]], Awaitable[Acted]]
ACTIONS: Mapping[str, Action] = {
    "pause": bulk_act.pause,
    "resume": bulk_act.resume,
    "delete": bulk_act.delete,
    "trigger": bulk_act.trigger,
}
AUDITED: Mapping[str, Audited] = {
    "pause": Audited.JOBS_PAUSED,
    "resume": Audited.JOBS_RESUMED,
    "delete": Audited.JOBS_DELETED,
    "trigger": Audited.JOBS_TRIGGERED,
}


async def act_on_jobs(call: Call) -> Reply:
    """Do one thing to all jobs that a filter matches."""
    asked = decode(call.body, BulkActionRequest)
    if asked.filter == BulkFilter() and asked.expect_count is None:
        detail = "is required where the filter is empty, for that means every job"
        raise Invalid([Fault("/expect_count", detail)])
    if asked.action == "trigger":
        async with connection(call.deps.pool) as conn:
            await refuse_held(conn, call)
    matched = await _matched(call, asked)
    if asked.action == "trigger":
        async with transaction(call.deps.pool) as conn:
            quotas = (await rules_of(conn, call)).quotas
            await count_runs(conn, call, quotas, len(matched), "/filter")
    done: list[UUID] = []
    held: list[UUID] = []
    for begin in range(0, len(matched), BATCH):
        async with transaction(call.deps.pool) as conn:
            acted = await ACTIONS[asked.action](conn, call, matched[begin : begin + BATCH])
            await audit.note_jobs(conn, call, AUDITED[asked.action], acted.done, after=asked)
        if acted.queued:
            await release_queued(call, *acted.queued)
        done += acted.done
        held += acted.held
    call.deps.on_event(
        EventName.BULK_DONE, action=asked.action, matched=len(matched), done=len(done)
    )
    await handover.all_given_up(call, held)
    return Reply(body=BulkActed(matched=len(matched), done=len(done)))


async def _matched(call: Call, asked: BulkActionRequest) -> list[UUID]:
    """Find the jobs, in the order in which they are locked; raise Conflict, or Invalid."""
    wanted = JobFilter(
        namespace=call.namespace,
        state=asked.filter.state,
        labels=labels_of(asked.filter.label, lambda text: Fault("/filter/label", text)),
        name_prefix=asked.filter.name_prefix,
        q=asked.filter.q,
    )
    async with transaction(call.deps.pool) as conn:
        found = await bulk_change.matching(conn, wanted, at_most=MATCHED_MAX + 1)
    if asked.expect_count not in {None, len(found)}:
        raise Conflict(
            f"The filter matches {len(found)} jobs, not {asked.expect_count}; nothing was done."
        )
    if len(found) > MATCHED_MAX:
        detail = f"matches more than {MATCHED_MAX:,} jobs; narrow it and go on in parts"
        raise Invalid([Fault("/filter", detail)])
    return sorted(found)


ROUTES = (
    Route(
        method="POST",
        path="/jobs/bulk-actions",
        handler=act_on_jobs,
        operation_id="act_on_jobs",
        summary="Pause, resume, delete or trigger many jobs",
        description=(
            "All that a filter matches, as `GET /jobs` takes it. With `expect_count` nothing is"
            " done where it matches another number (409); an empty filter needs it. Batch by batch,"
            " so a request that is cut short has done a part, and may be repeated. A trigger"
            " leaves out jobs whose overlap policy forbids it now."
        ),
        tag="jobs",
        body=Body(
            type=BulkActionRequest,
            examples={
                "pause a team's": {"action": "pause", "filter": {"label": ["team:billing"]}},
                "resume all": {"action": "resume", "filter": {}, "expect_count": 12},
            },
        ),
        answers={
            200: Answer(
                description="How many jobs matched, and how many the action changed.",
                type=BulkActed,
            )
        },
        problems=(409,),
    ),
)
