"""GET /jobs: jobs in an order, filtered, page by page."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from msgspec import Meta

from scheduler_svc.api import cursor, unsigned
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_view import job_view
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire_jobs import Job, JobList, JobWarning
from scheduler_svc.domain import jobs
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.jobs import JobState
from scheduler_svc.store.job_lists import JobFilter, JobOrder, Place, list_jobs, place_of
from scheduler_svc.store.pool import transaction

LABELS_MAX = 64
AT_ONCE = 10
LIMIT = QueryParam(
    name="limit",
    type=Annotated[int, Meta(ge=1, le=500)],
    default=50,
    description="How many items a page has.",
)
CURSOR = QueryParam(
    name="cursor",
    description="`next_cursor` of the page before; the filters and the sort must be the same.",
)


async def list_all(call: Call) -> Reply:
    """List jobs: the newest first, unless `sort` says otherwise."""
    query = call.query
    wanted = JobFilter(
        namespace=call.namespace,
        state=query["state"],
        labels=labels_of(query["label"], _fault),
        name_prefix=query["name_prefix"],
        q=query["q"],
    )
    order: JobOrder = query["sort"]
    binding = ["jobs", order, wanted]
    after = None if query["cursor"] is None else cursor.read(query["cursor"], binding, Place)
    async with transaction(call.deps.pool) as conn:
        found = await list_jobs(conn, wanted, order, after=after, at_most=query["limit"] + 1)
        also = await unsigned.of_jobs(conn, call, found)
    page = found[: query["limit"]]
    more = len(found) > len(page)
    following = cursor.write(place_of(page[-1], order), binding) if more else None
    items = await _views(page, call.deps.now_ms(), also)
    return Reply(
        body=JobList(items=items, next_cursor=following), headers=next_link(call, following)
    )


async def _views(
    page: list[jobs.Job], now_ms: int, also: Mapping[UUID, list[JobWarning]]
) -> list[Job]:
    """Write a page a few jobs at a time: the loop also fires timers, and a long page is work."""
    views: list[Job] = []
    for begin in range(0, len(page), AT_ONCE):
        views += [
            job_view(job, now_ms=now_ms, also=also.get(job.id, ()))
            for job in page[begin : begin + AT_ONCE]
        ]
        await asyncio.sleep(0)
    return views


def next_link(call: Call, following: str | None) -> dict[str, str]:
    """Return the Link header (RFC 8288) to the next page, where there is one."""
    if following is None:
        return {}
    given = parse_qsl(call.query_string, keep_blank_values=True)
    kept = [(name, value) for name, value in given if name != "cursor"]
    return {"Link": f'<{call.url_path}?{urlencode([*kept, ("cursor", following)])}>; rel="next"'}


def labels_of(given: list[str], fault: Callable[[str], Fault]) -> dict[str, str]:
    """Read `key:value` pairs; raise Invalid for one that is none, or two of one key."""
    labels: dict[str, str] = {}
    faults = []
    for text in given:
        key, colon, value = text.partition(":")
        if not colon or not key:
            faults.append(fault(f"'{text[:100]}' is not of the form key:value"))
        elif labels.setdefault(key, value) != value:
            faults.append(fault(f"asks for two values of '{key[:100]}': no job has both"))
    if len(given) > LABELS_MAX:
        faults.append(fault(f"is given {len(given)} times; at most {LABELS_MAX}"))
    if faults:
        raise Invalid(faults)
    return labels


def _fault(detail: str) -> Fault:
    return Fault("", detail, parameter="label")


ROUTES = (
    Route(
        method="GET",
        standby=True,
        path="/jobs",
        handler=list_all,
        operation_id="list_jobs",
        summary="List jobs",
        tag="jobs",
        params=(
            LIMIT,
            CURSOR,
            QueryParam(name="state", type=JobState, description="Only jobs in this state."),
            QueryParam(
                name="label",
                type=Annotated[str, Meta(max_length=320)],
                repeated=True,
                default=[],
                description="`key:value`; given several times, all must hold.",
                example=["team:billing"],
            ),
            QueryParam(
                name="name_prefix",
                type=Annotated[str, Meta(min_length=1, max_length=128)],
                description="Only jobs whose name begins so.",
            ),
            QueryParam(
                name="q",
                type=Annotated[str, Meta(max_length=256)],
                description="A literal part of the name or the description.",
            ),
            QueryParam(
                name="sort",
                type=JobOrder,
                default="-created_at",
                description="The order; with `-` the other way. What has no value comes last.",
            ),
        ),
        answers={
            200: Answer(
                description="A page of jobs.",
                type=JobList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
)
