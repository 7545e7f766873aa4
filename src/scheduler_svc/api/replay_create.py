"""POST /runs/replay: send ended runs again by filter and at a rate, or only count them.

What matches is counted now and taken later, step by step: only runs that have ended by now.
"""

from typing import Any

from msgspec import structs

from scheduler_svc.api import audit
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.holds import refuse_held
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_replays import Replay, ReplayExtent, ReplayRequest, replay_view
from scheduler_svc.domain import replays
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Conflict, Fault, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import EPOCH, MILLISECOND, RANDOM_BYTES, backfill_id, instant_at
from scheduler_svc.domain.quotas import extent_faults
from scheduler_svc.domain.replays import RUNS_MAX, ReplayFilter, labels_of
from scheduler_svc.store.job_lists import ID_LAST
from scheduler_svc.store.replays import count_matching, insert_replay

YESTERDAY: dict[str, Any] = {
    "filter": {
        "status": "failed",
        "since": "2026-01-05T00:00:00Z",
        "until": "2026-01-06T00:00:00Z",
    },
    "max_per_minute": 30,
}


async def create_replay(call: Call) -> Reply:
    """Make a replay; with `dry_run` say what it would send."""
    asked = decode(call.body, ReplayRequest)
    _check(asked)
    now_ms = call.deps.now_ms()
    made = _draft(call, asked, now_ms)
    async with writing(call) as conn:
        total = await count_matching(conn, made)
        _check_count(asked, total)
        quotas = (await rules_of(conn, call)).quotas
        if faults := list(extent_faults(quotas, total, "/filter")):
            raise Invalid(faults)
        if asked.dry_run:
            return Reply(body=ReplayExtent(count=total))
        await refuse_held(conn, call)
        made = _counted(made, total)
        await insert_replay(conn, made)
        await audit.note(
            conn,
            call,
            Action.REPLAY_CREATED,
            audit.part_of_job("replay", made.id, asked.filter.job_id),
            after=asked,
        )
        reply = Reply(
            status=202, body=replay_view(made), headers={"Location": f"/replays/{made.id}"}
        )
        reply = await keep(conn, call, reply)
    call.deps.on_event(EventName.REPLAY_CREATED, replay_id=made.id, total=total)
    return reply


def _check(asked: ReplayRequest) -> None:
    faults = []
    wanted = asked.filter
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        faults.append(Fault("/filter/until", "must be after `since`; it is exclusive"))
    try:
        labels_of(wanted.label)
    except ValueError as fault:
        faults.append(Fault("/filter/label", str(fault)))
    narrow = wanted != ReplayFilter(status=wanted.status)
    if not narrow and asked.expect_count is None and not asked.dry_run:
        detail = "is required where the filter has nothing but a status; `dry_run` tells the number"
        faults.append(Fault("/expect_count", detail))
    if faults:
        raise Invalid(faults)


def _check_count(asked: ReplayRequest, total: int) -> None:
    if total > RUNS_MAX:
        raise Invalid([Fault("/filter", f"more than {RUNS_MAX:,} runs match; ask for fewer")])
    if asked.expect_count is not None and asked.expect_count != total:
        raise Conflict(f"{total} runs match, not the expected {asked.expect_count}.")


def _draft(call: Call, asked: ReplayRequest, now_ms: int) -> replays.Replay:
    since = EPOCH if asked.filter.since is None else max(asked.filter.since, EPOCH)
    return replays.Replay(
        id=backfill_id(now_ms, call.deps.random_bytes(RANDOM_BYTES)),
        namespace=call.namespace,
        filter=asked.filter,
        max_per_minute=asked.max_per_minute,
        total=0,
        after_at=since - MILLISECOND,
        after_id=ID_LAST,
        paced_ms=now_ms,
        created_at=instant_at(now_ms),
    )


def _counted(made: replays.Replay, total: int) -> replays.Replay:
    """Complete the record; a replay of nothing is completed as it is."""
    ended = made.created_at if total == 0 else None
    status: replays.ReplayStatus = "completed" if total == 0 else "running"
    return structs.replace(made, total=total, status=status, finished_at=ended)


ROUTES = (
    Route(
        method="POST",
        path="/runs/replay",
        handler=create_replay,
        operation_id="create_replay",
        summary="Send ended runs again by filter",
        description=(
            "At a rate, behind everything else and never in its way. Each is a run of its own with"
            " the trigger `replay` and the `scheduled_for` of its original, sent to where its job"
            " points now. Left out are runs of deleted jobs, rows that stand for many occurrences,"
            " and runs of which a replay is under way or has succeeded. 409 where `expect_count`"
            " is another number."
        ),
        tag="replays",
        body=Body(
            type=ReplayRequest,
            examples={
                "what failed yesterday": YESTERDAY,
                "only count": {**YESTERDAY, "dry_run": True},
            },
        ),
        answers={
            202: Answer(
                description="The replay, under way.",
                type=Replay,
                headers={"Location": "The replay's path."},
            ),
            200: Answer(description="What it would send (`dry_run`).", type=ReplayExtent),
        },
        problems=(409,),
    ),
)
