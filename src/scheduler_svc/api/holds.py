"""POST /namespaces/{name}/release: say what becomes of what a held namespace missed.

A namespace is held when the database was restored from a backup, or was away for longer than
SCHEDULER_HOLD_AFTER: what it believes to be missed may have been sent. Said once, it is let go in
the background; who asks again is answered as before, who asks for something else is refused.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from scheduler_svc.api import audit
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.namespaces import seen_namespace, shown
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_namespaces import Namespace
from scheduler_svc.domain.audit import Action, Resource
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.holds import PER_MINUTE, Missed, window_ms
from scheduler_svc.store import holds
from scheduler_svc.store.pool import Connection, transaction

WORDS: Final = (
    '{"missed": "release"} lets each job\'s misfire policy decide, "once" sends one catch-up a job,'
    ' "skip" sends nothing of it'
)


class ReleaseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of what was missed."""

    missed: Annotated[
        Missed,
        Meta(
            description=(
                "`release`: the misfire policy of each job decides, and unfinished runs are sent."
                " `once`: one catch-up a job, whatever its policy, spread by `max_per_minute`."
                " `skip`: nothing of it is sent; the ledger says `held`."
            )
        ),
    ]
    max_per_minute: Annotated[
        int, Meta(ge=1, le=600_000, description="With `once`: so many catch-ups a minute.")
    ] = PER_MINUTE


async def release_namespace(call: Call) -> Reply:
    """Take the decision; the engine does the rest."""
    name = seen_namespace(call)
    asked = decode(call.body, ReleaseRequest)
    async with transaction(call.deps.pool) as conn:
        decided = await release(
            conn,
            name,
            asked.missed,
            per_minute=asked.max_per_minute,
            now_ms=call.deps.now_ms(),
        )
        if decided:
            held = Resource(kind="namespace", id=name)
            await audit.note(
                conn, call, Action.NAMESPACE_RELEASED, held, namespace=name, after=asked
            )
        body = await shown(conn, name, now_ms=call.deps.now_ms())
    if decided:
        call.deps.on_event(
            EventName.NAMESPACE_RELEASED, namespace=name, missed=asked.missed, by=call.caller.name
        )
    return Reply(body=body)


async def release(
    conn: Connection, name: str, missed: Missed, *, per_minute: int, now_ms: int
) -> bool:
    """Decide about a namespace; False where nothing is held, or the same was said before."""
    work = await holds.missed_of(conn, name, now_ms=now_ms)
    window = window_ms(work.overdue + work.runs, per_minute) if missed == "once" else 0
    if await holds.decide(conn, name, missed, now_ms=now_ms, window_ms=window) is not None:
        return True
    hold = await holds.get_hold(conn, name)
    if hold is not None and hold.missed != missed:
        raise Conflict(f"'{hold.missed}' was said already, and is being done.")
    return False


async def refuse_held(conn: Connection, call: Call) -> None:
    """Refuse to make runs in a held namespace: raise Conflict with the way out."""
    if not call.deps.held(call.namespace):
        return
    hold = await holds.get_hold(conn, call.namespace)
    if hold is None:
        return
    if hold.missed is not None:
        raise Conflict("The namespace is being released; ask again in a moment.")
    why = "the database was restored" if hold.reason == "restored" else "the service was away"
    raise Conflict(
        f"The namespace is held since {hold.since:%Y-%m-%dT%H:%M:%SZ}, for {why}: it sends nothing."
        f" POST /namespaces/{call.namespace}/release ends that: {WORDS}."
    )


ROUTES = (
    Route(
        method="POST",
        path="/namespaces/{name}/release",
        handler=release_namespace,
        operation_id="release_namespace",
        summary="Let a held namespace go",
        description=(
            "After the database was restored from a backup, or was away for longer than"
            " SCHEDULER_HOLD_AFTER, namespaces are held: nothing of them is sent, for it may have"
            " been sent already. This says what becomes of what was missed; it is done in the"
            " background, and `held` is null when all of it is. A namespace that is not held stays"
            " as it is."
        ),
        tag="namespaces",
        body=Body(type=ReleaseRequest, examples={"one call a job": {"missed": "once"}}),
        answers={200: Answer(description="The namespace.", type=Namespace)},
        problems=(404, 409),
    ),
)
