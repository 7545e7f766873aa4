"""POST /schedules/preview: what a schedule means, without saving anything."""

from typing import Any

from msgspec import UNSET, structs

from scheduler_svc.api import herd, validate
from scheduler_svc.api.check_definition import known_instants
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_examples import PREVIEW
from scheduler_svc.api.job_view import shown_occurrences, shown_warnings
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.wire_jobs import JobWarning, Preview, PreviewRequest
from scheduler_svc.domain import clock_changes
from scheduler_svc.domain.describe import describe
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import compile_schedule, take
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.schedule_check import check
from scheduler_svc.store.pool import connection, is_database_away
from scheduler_svc.store.timers import NIL

HERD_SECONDS = 1.0


async def preview_schedule(call: Call) -> Reply:
    """Show the occurrences strictly after `from`; there `every` begins, where it has no anchor."""
    asked = _read(call)
    begin_ms = call.deps.now_ms() if asked.from_ is None else epoch_ms(asked.from_)
    schedule, faults = _judged(asked.schedule, begin_ms)
    if faults:
        raise Invalid(faults)
    timetable = compile_schedule(schedule, job_id=NIL, created_at=instant_at(begin_ms))
    count = min(asked.count, schedule.max_runs or asked.count)
    instants = take(timetable, begin_ms, count)
    also = await _herd(call, schedule, instants)
    return Reply(
        body=Preview(
            occurrences=shown_occurrences(timetable, instants),
            description=describe(schedule),
            warnings=[*shown_warnings(clock_changes.warnings(timetable, begin_ms)), *also],
        )
    )


async def _herd(call: Call, schedule: Schedule, instants: list[int]) -> list[JobWarning]:
    """Look for a herd at the first occurrence; a preview works without a database too."""
    if not instants:
        return []
    try:
        async with connection(call.deps.pool, seconds=HERD_SECONDS) as conn:
            first = instant_at(instants[0])
            return await herd.of_instant(conn, call.namespace, schedule, first, but_not=NIL)
    except Exception as error:
        if not is_database_away(error):
            raise
        return []


def _read(call: Call) -> PreviewRequest:
    """Read the request; raise Malformed, or Invalid with the faults of the schedule among them."""
    looked_at = validate.examine(call.body, PreviewRequest)
    if looked_at.value is not None:
        return looked_at.value
    document: Any = looked_at.document
    faults = list(looked_at.faults)
    if isinstance(document, dict) and "schedule" in document:
        schedule = validate.part(document["schedule"], Schedule)
        if schedule is not None:
            faults += _judged(schedule, call.deps.now_ms())[1]
    raise Invalid(faults)


def _judged(schedule: Schedule, begin_ms: int) -> tuple[Schedule, list[Fault]]:
    """Judge a schedule; instants of `at` may lie before `from`, so that a preview can go on."""
    if schedule.every is not UNSET and schedule.anchor is UNSET:
        schedule = structs.replace(schedule, anchor=instant_at(begin_ms))
    good, faults = check(
        schedule, now=instant_at(begin_ms), job_id=NIL, known_at=known_instants(schedule)
    )
    return good, [fault._replace(pointer=f"/schedule{fault.pointer}") for fault in faults]


ROUTES = (
    Route(
        method="POST",
        path="/schedules/preview",
        handler=preview_schedule,
        operation_id="preview_schedule",
        summary="Look at a schedule without saving it",
        description="`H` and `spread` depend on a job's id, so a preview shows them for none.",
        tag="schedules",
        body=Body(type=PreviewRequest, examples={"a gap in spring": PREVIEW}),
        answers={200: Answer(description="Its occurrences, in words too.", type=Preview)},
    ),
)
