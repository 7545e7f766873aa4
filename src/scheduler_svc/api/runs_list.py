"""GET /runs and GET /jobs/{id}/runs: history, newest first, page by page."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import structs

from scheduler_svc.api import cursor
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_find import find_job
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire_runs import RunList, run_view
from scheduler_svc.domain.ids import EPOCH, MILLISECOND, epoch_ms, instant_at, scheduled_ms_of
from scheduler_svc.domain.occurrences import HORIZON
from scheduler_svc.domain.runs import RunStatus, Trigger
from scheduler_svc.domain.schedule import Instant
from scheduler_svc.store.pool import Connection, transaction
from scheduler_svc.store.run_lists import RunFilter, RunPlace, list_runs, run_place


async def list_all(call: Call) -> Reply:
    """List runs of all jobs, or of one that may be deleted already."""
    async with transaction(call.deps.pool) as conn:
        return await _page(conn, call, call.query["job_id"])


async def list_of_job(call: Call) -> Reply:
    """List the runs of a job that exists."""
    async with transaction(call.deps.pool) as conn:
        job = await find_job(conn, call.namespace, call.path["id"])
        return await _page(conn, call, job.id)


async def _page(conn: Connection, call: Call, job_id: UUID | None) -> Reply:
    query = call.query
    original = query["replay_of"]
    if original is not None and scheduled_ms_of(original) > HORIZON:
        return Reply(body=RunList(items=[], next_cursor=None))
    wanted = RunFilter(
        namespace=call.namespace,
        job_id=job_id,
        status=query["status"],
        trigger=query["trigger"],
        replay_of=original,
        since=_bound(query["since"], EPOCH),
        until=_bound(query["until"], instant_at(HORIZON)),
    )
    if original is not None:
        # A replay keeps the time of its original, so one day holds all of them.
        at = instant_at(scheduled_ms_of(original))
        wanted = structs.replace(
            wanted,
            since=max(wanted.since, at),
            until=min(wanted.until, at + MILLISECOND),
        )
    binding: list[Any] = ["runs", wanted]
    after = None if query["cursor"] is None else cursor.read(query["cursor"], binding, RunPlace)
    found = await list_runs(conn, wanted, after=after, at_most=query["limit"] + 1)
    page = found[: query["limit"]]
    more = len(found) > len(page)
    following = cursor.write(run_place(page[-1]), binding) if more else None
    return Reply(
        body=RunList(items=[run_view(run) for run in page], next_cursor=following),
        headers=next_link(call, following),
    )


def _bound(given: datetime | None, default: datetime) -> datetime:
    """Cut an instant to milliseconds, and to the years in which runs can be."""
    if given is None:
        return default
    return instant_at(min(max(epoch_ms(given), 0), HORIZON))


_FILTERS = (
    LIMIT,
    CURSOR,
    QueryParam(name="status", type=RunStatus, description="Only runs of this status."),
    QueryParam(
        name="trigger",
        type=Trigger,
        description="Only runs made by this. Alerts are listed where they are asked for.",
    ),
    QueryParam(name="replay_of", type=UUID, description="Only replays of this run."),
    QueryParam(
        name="since", type=Instant, description="Only with `scheduled_for` at or after this."
    ),
    QueryParam(name="until", type=Instant, description="Only with `scheduled_for` before this."),
)
_ANSWERS = {
    200: Answer(
        description="A page of runs, newest first.",
        type=RunList,
        headers={"Link": "The next page, where there is one (RFC 8288)."},
    )
}

ROUTES = (
    Route(
        method="GET",
        standby=True,
        path="/jobs/{id}/runs",
        handler=list_of_job,
        operation_id="list_job_runs",
        summary="List the runs of a job",
        tag="runs",
        params=_FILTERS,
        answers=_ANSWERS,
        problems=(404,),
    ),
    Route(
        method="GET",
        standby=True,
        path="/runs",
        handler=list_all,
        operation_id="list_runs",
        summary="List runs",
        description="Also of jobs that were deleted.",
        tag="runs",
        params=(
            *_FILTERS,
            QueryParam(name="job_id", type=UUID, description="Only runs of this job, by its id."),
        ),
        answers=_ANSWERS,
    ),
)
