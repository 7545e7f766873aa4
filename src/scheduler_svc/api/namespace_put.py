"""PUT /namespaces/{name}: give a namespace its settings, for all its jobs and at once.

A replica hears of it by notice and judges the next connection by it; without notices it looks every
few seconds. It moves no job and cancels nothing.
"""

from msgspec import json, structs

from scheduler_svc.api import audit, etag, validate
from scheduler_svc.api.check_alerts import alert_faults
from scheduler_svc.api.check_target import duration_faults
from scheduler_svc.api.context import Call, Deps, Reply
from scheduler_svc.api.job_find import is_name
from scheduler_svc.api.namespaces import TAG, shown
from scheduler_svc.api.route import Answer, Body, HeaderParam, Route
from scheduler_svc.api.wire_namespaces import READ_ONLY, Namespace
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.duration import normal
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.egress_entries import entry_faults
from scheduler_svc.domain.errors import Conflict, Fault, Forbidden, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import NAME_PATTERN, Alerts
from scheduler_svc.domain.namespaces import NAMESPACES_MAX, EgressLists, NamespaceSettings, rules_of
from scheduler_svc.domain.quotas import normal_form
from scheduler_svc.domain.retention import Asked, Retention, normal_retention, retention_faults
from scheduler_svc.store import namespaces, notices
from scheduler_svc.store.pool import Connection, transaction

EXAMPLES = {
    "only partners": {"egress": {"allow": ["*.partner.example", "10.1.0.0/16:8443"], "deny": []}},
    "a small team": {
        "quotas": {"jobs_max": 500, "min_interval": "1m", "runs_per_minute": 600},
    },
    "nothing of its own": {},
}


async def put_namespace(call: Call) -> Reply:
    """Create or replace the settings; the same again changes nothing."""
    name = call.path["name"]
    if call.caller.namespace != EVERY:
        raise Forbidden(
            "What holds for a namespace is set with a key of all namespaces, not by the namespace."
        )
    if not is_name(name):
        raise Invalid([Fault("", f"is no name: it must match {NAME_PATTERN}", parameter="name")])
    settings = _read(call.body, call.deps)
    async with transaction(call.deps.pool) as conn:
        reply, changed = await _put(conn, call, name, settings)
    if changed is not None:
        call.deps.on_event(EventName.NAMESPACE_UPDATED, namespace=name, revision=changed)
    return reply


async def _put(
    conn: Connection, call: Call, name: str, settings: NamespaceSettings
) -> tuple[Reply, int | None]:
    now = instant_at(call.deps.now_ms())
    found = await namespaces.lock_namespace(conn, name)
    made = None
    if found is None:
        etag.check(call.headers, None)
        await _check_room(conn)
        made = await namespaces.insert_namespace(conn, name, settings, now)
        # Another request may have been quicker: then its row is there to be locked.
        found = None if made is not None else await namespaces.lock_namespace(conn, name)
    if made is None and found is not None:
        etag.check(call.headers, etag.of(found.revision))
        if found.settings == json.encode(settings).decode():
            body = await shown(conn, name, now_ms=call.deps.now_ms())
            return Reply(body=body, headers={"ETag": etag.of(found.revision)}), None
        written = await namespaces.update_namespace(conn, name, settings, now)
    else:
        written = made
    if written is None:
        raise RuntimeError("a namespace vanished under its lock")
    await notices.namespace_changed(conn, name)
    await audit.note_namespace(conn, call, name, None if made is not None else found, settings)
    headers = {"ETag": etag.of(written.revision)}
    if made is not None:
        headers["Location"] = f"/namespaces/{name}"
    body = await shown(conn, name, now_ms=call.deps.now_ms())
    reply = Reply(status=200 if made is None else 201, body=body, headers=headers)
    return reply, written.revision


async def _check_room(conn: Connection) -> None:
    """Keep what every replica holds in memory bounded."""
    mark = await namespaces.namespaces_mark(conn)
    if mark.number >= NAMESPACES_MAX:
        raise Conflict(
            f"There are {mark.number} namespaces with settings; at most that many may be."
        )


def _read(raw: bytes, deps: Deps) -> NamespaceSettings:
    """Return the settings in normal form; raise Malformed, or Invalid with all faults."""
    looked_at = validate.examine(raw, NamespaceSettings, read_only=READ_ONLY)
    faults = list(looked_at.faults)
    document = looked_at.document
    if looked_at.value is not None:
        faults += _faults(looked_at.value.egress, looked_at.value.alerts, deps.egress)
        faults += _retention_faults(looked_at.value.retention, deps)
        faults += duration_faults("/quotas/min_interval", looked_at.value.quotas.min_interval)
    elif isinstance(document, dict):
        faults += _faults(
            validate.part(document.get("egress"), EgressLists),
            validate.part(document.get("alerts"), Alerts),
            deps.egress,
        )
        faults += _retention_faults(validate.part(document.get("retention"), Retention), deps)
    if faults or looked_at.value is None:
        raise Invalid(faults)
    alerts, quotas = looked_at.value.alerts, normal_form(looked_at.value.quotas)
    kept = normal_retention(looked_at.value.retention)
    settings = structs.replace(looked_at.value, retention=kept, quotas=quotas)
    if alerts is None:
        return settings
    late = structs.replace(alerts, late_after=normal(alerts.late_after))
    return structs.replace(settings, alerts=late)


def _faults(egress: EgressLists | None, alerts: Alerts | None, rules: EgressRules) -> list[Fault]:
    """Judge the meaning of those parts that have the right shape."""
    faults: list[Fault] = []
    for name in ("allow", "deny") if egress is not None else ():
        for place, detail in entry_faults(getattr(egress, name)):
            faults.append(Fault(f"/egress/{name}/{place}", f"is refused: {detail}"))
    if alerts is not None:
        # Its alerts go where its jobs may; by lists with faults nothing can be judged.
        narrower = None if egress is None or faults else rules_of(egress)
        faults += [
            fault._replace(pointer=f"/alerts{fault.pointer}")
            for fault in alert_faults(alerts, rules, narrower)
        ]
    return faults


def _retention_faults(asked: Asked, deps: Deps) -> list[Fault]:
    found = retention_faults(asked, longest_ms=deps.retention_max_ms)
    return [fault._replace(pointer=f"/retention{fault.pointer}") for fault in found]


ROUTES = (
    Route(
        method="PUT",
        path="/namespaces/{name}",
        handler=put_namespace,
        operation_id="put_namespace",
        summary="Give a namespace its settings",
        description=(
            "`egress` narrows what the operator allows and never widens it: with `allow` only what"
            " it lists may be called, and never what `deny` lists. It holds for every connection"
            " opened from now on, also of jobs that are there already. `retention` is what its jobs"
            " keep of their history where they say nothing themselves. `quotas`"
            " say how much it may have; null is the operator's default."
        ),
        tag="namespaces",
        headers=(
            HeaderParam(
                name="If-Match", description="Only where the namespace has one of these ETags."
            ),
            HeaderParam(
                name="If-None-Match", description="`*` only creates: where it has no settings yet."
            ),
        ),
        body=Body(type=NamespaceSettings, examples=EXAMPLES),
        answers={
            200: Answer(description="The namespace, changed or not.", type=Namespace, headers=TAG),
            201: Answer(
                description="The namespace, with its first settings.",
                type=Namespace,
                headers={"Location": "The namespace's path.", **TAG},
            ),
        },
        problems=(409, 412),
    ),
)
