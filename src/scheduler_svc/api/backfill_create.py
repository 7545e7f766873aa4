"""POST /jobs/{id}/backfill: send a range of past occurrences, or only count them.

The backfill keeps the schedule as it is now; where its runs go is the job's to say when they leave.
"""

import asyncio
from typing import Any

from scheduler_svc.api import audit, etag
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.holds import refuse_held
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.job_change import lock_job
from scheduler_svc.api.job_find import find_job
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import IF_MATCH, Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire import stamp_ms
from scheduler_svc.api.wire_backfills import (
    Backfill,
    BackfillExtent,
    BackfillRequest,
    backfill_view,
)
from scheduler_svc.domain import backfills
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.backfills import OCCURRENCES_MAX, Extent
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import RANDOM_BYTES, backfill_id, epoch_ms, instant_at
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.occurrences import SearchTooLong
from scheduler_svc.domain.quotas import extent_faults
from scheduler_svc.store.backfills import insert_backfill
from scheduler_svc.store.pool import connection

JANUARY: dict[str, Any] = {
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-02-01T00:00:00Z",
    "overlap": "queue",
    "max_per_minute": 30,
}


async def create_backfill(call: Call) -> Reply:
    """Make a backfill; with `dry_run` say what it would send."""
    asked = decode(call.body, BackfillRequest)
    now_ms = call.deps.now_ms()
    _check_range(asked, now_ms)
    async with connection(call.deps.pool) as conn:
        job = await find_job(conn, call.namespace, call.path["id"])
        quotas = (await rules_of(conn, call)).quotas
    found = await _extent(job, asked)
    if faults := list(extent_faults(quotas, found.count, "/from")):
        raise Invalid(faults)
    if asked.dry_run:
        return Reply(body=_shown(found))
    made = _draft(call, job, asked, found, now_ms)
    async with writing(call) as conn:
        locked = await lock_job(conn, call, str(job.id))  # or it may be deleted meanwhile
        etag.check(call.headers, etag.of(locked.job.revision))
        await refuse_held(conn, call)
        await insert_backfill(conn, made)
        await audit.note(
            conn,
            call,
            Action.BACKFILL_CREATED,
            audit.part_of_job("backfill", made.id, job.id),
            after=asked,
        )
        reply = Reply(
            status=202, body=backfill_view(made), headers={"Location": f"/backfills/{made.id}"}
        )
        reply = await keep(conn, call, reply)
    call.deps.on_event(
        EventName.BACKFILL_CREATED, backfill_id=made.id, job_id=job.id, total=made.total
    )
    return reply


def _check_range(asked: BackfillRequest, now_ms: int) -> None:
    faults = []
    if epoch_ms(asked.from_) >= epoch_ms(asked.to):
        faults.append(Fault("/to", "must be after `from`; it is exclusive"))
    if epoch_ms(asked.to) > now_ms:
        detail = f"is in the future: it is {stamp_ms(now_ms)} now, and what comes is the cadence's"
        faults.append(Fault("/to", detail))
    if faults:
        raise Invalid(faults)


async def _extent(job: Job, asked: BackfillRequest) -> Extent:
    """Count what the range holds; raise Invalid where that is more than a backfill may."""
    found = Extent(0, None, None)
    timetable = planned(job).timetable
    try:
        for found in backfills.extents(  # noqa: B007 - the last one counts
            timetable, epoch_ms(asked.from_), epoch_ms(asked.to)
        ):
            await asyncio.sleep(0)  # the loop also fires timers
    except SearchTooLong as error:
        raise Invalid([Fault("/from", f"this range can not be counted: {error}")]) from error
    if found.count > OCCURRENCES_MAX:
        detail = f"the range has more than {OCCURRENCES_MAX:,} occurrences; ask for a shorter one"
        raise Invalid([Fault("/from", detail)])
    return found


def _shown(found: Extent) -> BackfillExtent:
    return BackfillExtent(
        count=found.count,
        first=None if found.first_ms is None else stamp_ms(found.first_ms),
        last=None if found.last_ms is None else stamp_ms(found.last_ms),
    )


def _draft(
    call: Call, job: Job, asked: BackfillRequest, found: Extent, now_ms: int
) -> backfills.Backfill:
    """Make the record; a range without occurrences is completed as it is."""
    now = instant_at(now_ms)
    first_ms = max(epoch_ms(asked.from_), 0) if found.first_ms is None else found.first_ms
    return backfills.Backfill(
        id=backfill_id(now_ms, call.deps.random_bytes(RANDOM_BYTES)),
        job_id=job.id,
        namespace=job.namespace,
        range_from=instant_at(epoch_ms(asked.from_)),
        range_to=instant_at(epoch_ms(asked.to)),
        schedule=job.definition.schedule,
        anchored_at=job.created_at,
        overlap=asked.overlap,
        max_per_minute=asked.max_per_minute,
        total=found.count,
        status="running" if found.count else "completed",
        next_from_ms=first_ms,
        paced_ms=now_ms,
        created_at=now,
        finished_at=None if found.count else now,
    )


ROUTES = (
    Route(
        method="POST",
        path="/jobs/{id}/backfill",
        handler=create_backfill,
        operation_id="create_backfill",
        summary="Send a range of past occurrences",
        description=(
            "At a rate, behind everything else and never in its way; also while the job is paused"
            " or completed. `max_runs` does not count here. Each occurrence is a run of its own"
            " with the trigger `backfill`, also where the ledger holds one for it already."
        ),
        tag="backfills",
        headers=(IF_MATCH,),
        body=Body(
            type=BackfillRequest,
            examples={
                "january, one after the other": JANUARY,
                "only count": {**JANUARY, "dry_run": True},
            },
        ),
        answers={
            202: Answer(
                description="The backfill, under way.",
                type=Backfill,
                headers={"Location": "The backfill's path."},
            ),
            200: Answer(description="What it would send (`dry_run`).", type=BackfillExtent),
        },
        problems=(404, 412),
    ),
)
