"""What the stream of events tells: which of all that happens, under which name, and in what shape.

Pure. Tells of runs and jobs only, never of alerts; ids and states, never a name or a body, so that
the stream can be shown to whoever may know that the job exists.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import scheduled_ms_of

_RUN: Final[Mapping[EventName, str]] = {
    EventName.RUN_STARTED: "running",
    EventName.RUN_SUCCEEDED: "succeeded",
    EventName.RUN_FAILED: "failed",
    EventName.RUN_RETRYING: "due",
    EventName.RUN_SKIPPED: "skipped",
    EventName.RUN_CANCELLED: "cancelled",
}
_RESCUED: Final[Mapping[object, EventName]] = {
    "due": EventName.RUN_RETRYING,
    "succeeded": EventName.RUN_SUCCEEDED,
    "failed": EventName.RUN_FAILED,
    "cancelled": EventName.RUN_CANCELLED,
}
"""What becomes of a run that is taken over from a dead replica, told like any other."""
_JOB: Final[Mapping[EventName, EventName]] = {
    EventName.JOB_CREATED: EventName.JOB_CREATED,
    EventName.JOB_UPDATED: EventName.JOB_UPDATED,
    EventName.JOB_PAUSED: EventName.JOB_PAUSED,
    EventName.JOB_PARKED: EventName.JOB_PAUSED,
    EventName.JOB_RESUMED: EventName.JOB_RESUMED,
    EventName.JOB_COMPLETED: EventName.JOB_COMPLETED,
    EventName.JOB_DELETED: EventName.JOB_DELETED,
}
_STATE: Final[Mapping[EventName, str]] = {
    EventName.JOB_PAUSED: "paused",
    EventName.JOB_RESUMED: "active",
    EventName.JOB_COMPLETED: "completed",
    EventName.JOB_DELETED: "deleted",
}
PUBLISHED: Final = frozenset({*_RUN, *_JOB, EventName.RUN_RESCUED})
NAMES: Final[Mapping[EventName, None]] = MappingProxyType(dict.fromkeys((*_RUN, *_JOB.values())))
"""The names on the stream, in the order of a life."""


class Happened(NamedTuple):
    """One thing that happened; None is not known to its teller, and looked up when it is kept."""

    name: str
    subject: UUID
    job_id: UUID
    status: str | None
    scheduled_ms: int | None
    namespace: str | None
    at_ms: int


def happened(name: EventName, fields: Mapping[str, object], *, at_ms: int) -> Happened | None:
    """Make a transition a value; None for what the stream does not tell."""
    job_id, run_id = fields.get("job_id"), fields.get("run_id")
    namespace = fields.get("namespace")
    known = namespace if isinstance(namespace, str) else None
    if not isinstance(job_id, UUID) or fields.get("trigger") == "alert":
        return None
    if name == EventName.RUN_RESCUED:
        name = _RESCUED.get(fields.get("status"), name)
    if (status := _RUN.get(name)) is not None:
        if not isinstance(run_id, UUID):
            return None
        return Happened(str(name), run_id, job_id, status, scheduled_ms_of(run_id), known, at_ms)
    if (told := _JOB.get(name)) is not None:
        return Happened(str(told), job_id, job_id, _STATE.get(told), None, known, at_ms)
    return None
