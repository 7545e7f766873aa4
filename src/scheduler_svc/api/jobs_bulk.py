"""POST /jobs/bulk: many jobs in one request and one transaction; all of them, or item by item.

Items are judged a few at a time, with the loop free in between, while the database writes those
before them.
"""

import asyncio
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Raw, Struct

from scheduler_svc.api import audit, identity, problems
from scheduler_svc.api.bulk_read import BulkReader, Draft
from scheduler_svc.api.bulk_write import Outcome, write
from scheduler_svc.api.check_templates import secret_names
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.job_examples import EXAMPLES
from scheduler_svc.api.job_quota import room_of
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import BULK_BODY_MAX, Answer, Body, QueryParam, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_bulk import JOBS_MAX, BulkCreated, BulkError, BulkItem, BulkRequest
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Fault, Invalid, NameTaken, QuotaExceeded, Refused
from scheduler_svc.domain.events import EventName
from scheduler_svc.store import bulk, notices
from scheduler_svc.store.pool import Connection

AT_ONCE = 10
"""Items judged before the loop turns to others, and to what the database has answered."""
BATCH = 250
AHEAD = 2
SECONDS = 60.0
FAULTS_MAX = 100
"""What a refusal lists, and what the errors of items hold together before they are cut short."""


class _Items(Struct, frozen=True, forbid_unknown_fields=True):
    jobs: list[Raw]


async def create_jobs(call: Call) -> Reply:
    """Create all the jobs of a request or none; with `partial` those that are good."""
    items, partial = _items(call.body), call.query["partial"]
    outcome = Outcome()
    names = await secret_names(call)
    async with writing(call, seconds=SECONDS) as conn:
        await bulk.lock_namespace(conn, call.namespace)
        rules = await rules_of(conn, call)
        reader = BulkReader(call, call.deps.now_ms(), secrets=names, rules=rules)
        outcome.room = await room_of(conn, call.namespace, rules.quotas)
        with uncollected():
            await _create(conn, reader, items, outcome, partial=partial)
            if outcome.twins or (outcome.refused and not partial):
                raise _refusal(outcome)
            created = _created(len(items), outcome)
        if reader.asks_identity is not None:
            await identity.ensure(conn, call, reader.asks_identity)
        if outcome.earliest_ms is not None:
            await notices.wake(conn, outcome.earliest_ms)
        await audit.note_jobs(conn, call, Action.JOBS_CREATED, list(outcome.ids.values()))
        reply = Reply(status=200 if partial else 201, body=created)
        reply = await keep(conn, call, reply)
    call.deps.on_event(
        EventName.BULK_DONE, action="create", matched=len(items), done=len(outcome.ids)
    )
    return reply


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the cycle collector off while a hundred thousand values without cycles are made.

    It would look at all of them again and again: half of the time, in pauses that timers feel.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:  # else another request holds it off, and ends that
            gc.enable()


def _items(raw: bytes) -> list[Raw]:
    """Part the body into its items, unread; raise Malformed, or Invalid for what is no list."""
    try:
        items = msgspec.json.decode(raw, type=_Items).jobs
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        items = decode(raw, _Items).jobs
    if len(items) > JOBS_MAX:
        raise Invalid([Fault("/jobs", f"has {len(items)} items; at most {JOBS_MAX} are allowed")])
    return items


async def _create(
    conn: Connection, reader: BulkReader, items: Sequence[Raw], outcome: Outcome, *, partial: bool
) -> None:
    """Judge the items and write them, side by side; raise the first error of either."""
    ready: asyncio.Queue[list[Draft]] = asyncio.Queue(AHEAD)
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(write(conn, ready, outcome, reader))
            await _judge(reader, items, ready, outcome, partial=partial)
            await ready.put([])
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _judge(
    reader: BulkReader,
    items: Sequence[Raw],
    ready: "asyncio.Queue[list[Draft]]",
    outcome: Outcome,
    *,
    partial: bool,
) -> None:
    """Hand on what is good, batch by batch; with faults all are looked for, and none handed on."""
    names: dict[str, int] = {}
    batch: list[Draft] = []
    for index, raw in enumerate(items):
        try:
            draft = reader.read(index, bytes(raw))
            _check_twin(names, draft, outcome)
            batch.append(draft)
        except Invalid as refused:
            outcome.refused[index] = refused
        if index % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if len(batch) == BATCH and (partial or not outcome.refused):
            await ready.put(batch)
            batch = []
    if batch and (partial or not outcome.refused):
        await ready.put(batch)


def _check_twin(names: dict[str, int], draft: Draft, outcome: Outcome) -> None:
    """Raise Invalid where an item before has the same name."""
    name = draft.job.definition.name
    if name is None:
        return
    first = names.setdefault(name, draft.index)
    if first != draft.index:
        detail = f"'{name}' is the name of /jobs/{first} too; a name may be given once"
        outcome.twins = True
        raise Invalid([Fault("/name", detail)])


def _refusal(outcome: Outcome) -> Refused:
    """Refuse the whole request for the faults of its items: the first of them, and how many."""
    faults = list(_faults(outcome))
    shown, count = faults[:FAULTS_MAX], len(faults)
    items = len(outcome.refused)
    more = f"; the first {FAULTS_MAX} are listed" if count > FAULTS_MAX else ""
    detail = f"Nothing was created: {items} of the items have {count} faults{more}."
    if all(fault.code == "name_taken" for fault in faults):
        return NameTaken(detail, tuple(shown))
    if all(isinstance(one, QuotaExceeded) for one in outcome.refused.values()):
        return QuotaExceeded(detail, tuple(shown))
    refused = Invalid(shown)
    refused.detail = detail
    return refused


def _faults(outcome: Outcome) -> Iterator[Fault]:
    for index, refused in sorted(outcome.refused.items()):
        for fault in refused.faults:
            yield fault._replace(pointer=f"/jobs/{index}{fault.pointer}")


def _created(count: int, outcome: Outcome) -> BulkCreated:
    left = FAULTS_MAX
    items = []
    for index in range(count):
        error = None
        if (refused := outcome.refused.get(index)) is not None:
            error = _error(refused, max(1, left))
            left -= len(error.errors)
        items.append(BulkItem(index=index, id=outcome.ids.get(index), error=error))
    return BulkCreated(created=len(outcome.ids), items=items)


def _error(refused: Refused, at_most: int) -> BulkError:
    """Write the refusal of one item as a request of its own would have it."""
    return BulkError(
        code=problems.code_of(refused),
        detail=refused.detail,
        errors=[problems.error_of(fault) for fault in refused.faults[:at_most]],
    )


ROUTES = (
    Route(
        method="POST",
        path="/jobs/bulk",
        handler=create_jobs,
        operation_id="create_jobs",
        summary="Create many jobs",
        description=(
            f"Up to {JOBS_MAX:,} in one request of at most 32 MiB. All of them or none, with every"
            " fault of every item; with `partial` those that are good, and an error for each of"
            " the others. A name given twice in one request is refused either way."
        ),
        tag="jobs",
        params=(
            QueryParam(
                name="partial",
                type=bool,
                default=False,
                description="Create what is good, and say for each item what became of it.",
            ),
        ),
        body=Body(
            type=BulkRequest,
            length_max=BULK_BODY_MAX,
            examples={"two": {"jobs": list(EXAMPLES.values())[:2]}},
        ),
        answers={
            201: Answer(description="All were created.", type=BulkCreated),
            200: Answer(description="What became of each (`partial`).", type=BulkCreated),
        },
        problems=(409,),
    ),
)
