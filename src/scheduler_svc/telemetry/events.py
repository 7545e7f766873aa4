"""What each event means, how loud it is, and the one function that says it.

Promises that every name of the closed list is described here; docs/operations.md shows this table.
Will not format sentences: an event is a name and fields, so that it can be counted and searched.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import structlog

from scheduler_svc.domain.events import EventName, OnEvent, OnEvents, T

_LOG = structlog.get_logger()
_D, _I, _W, _E = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR


class Description(NamedTuple):
    level: int
    fields: tuple[str, ...]
    meaning: str


_RUN = ("run_id", "trace_id")
_ENDED = (
    *(*_RUN, "job_id", "attempt", "outcome", "status_code", "reason"),
    *("duration_ms", "lateness_ms", "trigger"),
)
_ASKED = (
    *("request_id", "trace_id", "method", "path", "route", "status"),
    *("duration_ms", "peer"),
)
_NAME = EventName

EVENTS: Mapping[EventName, Description] = MappingProxyType(
    {
        _NAME.JOB_CREATED: Description(_I, ("job_id", "namespace"), "a job was created"),
        _NAME.JOB_UPDATED: Description(_I, ("job_id", "namespace"), "its definition changed"),
        _NAME.JOB_PAUSED: Description(
            _I, ("job_id", "namespace", "reason"), "it fires no more until it is resumed"
        ),
        _NAME.JOB_RESUMED: Description(
            _I, ("job_id", "namespace"), "it fires again, at its own cadence"
        ),
        _NAME.JOB_COMPLETED: Description(_I, ("job_id",), "no occurrence is left"),
        _NAME.JOB_DELETED: Description(
            _I, ("job_id", "namespace"), "it is gone; history stays until pruned"
        ),
        _NAME.JOB_PARKED: Description(
            _E, ("job_id", "error"), "deciding it raised, so it is paused and the others go on"
        ),
        _NAME.JOB_MOVED: Description(
            _W,
            ("job_id", "before", "after"),
            "other versions of croniter, tzdata or the dialect read its schedule differently",
        ),
        _NAME.BULK_DONE: Description(
            _I,
            ("action", "matched", "done"),
            "one request created or changed many jobs: said once, not for each",
        ),
        _NAME.RUN_STARTED: Description(
            _D,
            (*_RUN, "job_id", "attempt", "scheduled_for", "trigger"),
            "an attempt is being sent",
        ),
        _NAME.RUN_SUCCEEDED: Description(_I, _ENDED, "it ended well"),
        _NAME.RUN_FAILED: Description(_W, _ENDED, "it ended badly, for good"),
        _NAME.RUN_RETRYING: Description(_I, _ENDED, "another attempt will follow"),
        _NAME.RUN_SKIPPED: Description(
            _I,
            (*_RUN, "job_id", "reason", "occurrences", "policy"),
            "not sent, by the rule in `reason`",
        ),
        _NAME.RUN_CANCELLED: Description(_I, _ENDED, "it was called off"),
        _NAME.RUN_RESCUED: Description(
            _W,
            (*_RUN, "job_id", "status", "reason", "trigger", "attempt"),
            "taken over from a replica that died",
        ),
        _NAME.RUN_AWAITING: Description(_I, _ENDED, "its target took it and is to report its end"),
        _NAME.ALERT_RAISED: Description(
            _W, (*_RUN, "job_id", "condition"), "an incident of the job, on its way by this run"
        ),
        _NAME.ALERT_SENT: Description(_I, _ENDED, "its receiver has it"),
        _NAME.ALERT_FAILED: Description(_E, _ENDED, "its receiver never took it; it says no more"),
        _NAME.REPLAY_CREATED: Description(
            _I, ("replay_id", "total"), "ended runs are being sent again, at its rate"
        ),
        _NAME.REPLAY_COMPLETED: Description(
            _I, ("replay_id", "created"), "all its runs have ended"
        ),
        _NAME.REPLAY_CANCELLED: Description(_W, ("replay_id", "reason"), "it makes no more runs"),
        _NAME.BACKFILL_CREATED: Description(
            _I, ("backfill_id", "job_id", "total"), "a range is being sent, at its rate"
        ),
        _NAME.BACKFILL_COMPLETED: Description(
            _I, ("backfill_id", "job_id", "created"), "all its runs have ended"
        ),
        _NAME.BACKFILL_CANCELLED: Description(
            _W, ("backfill_id", "job_id", "reason", "error"), "it makes no more runs"
        ),
        _NAME.SECRET_CHANGED: Description(
            _I, ("namespace", "name"), "a named secret was made or has another value"
        ),
        _NAME.SECRET_DELETED: Description(
            _I, ("namespace", "name"), "runs that ask for it end blocked from now on"
        ),
        _NAME.SIGNING_CREATED: Description(
            _I, ("signing_id", "host"), "one more secret signs requests; null: to every host"
        ),
        _NAME.SIGNING_EXPIRES: Description(
            _I, ("signing_id", "expires_at"), "a secret signs until then and no longer"
        ),
        _NAME.NAMESPACE_UPDATED: Description(
            _I, ("namespace", "revision"), "its settings changed, or it got its first"
        ),
        _NAME.NAMESPACES_HELD: Description(
            _W,
            ("reason", "namespaces", "away_seconds"),
            "the database was restored or long away: what was missed waits for a word",
        ),
        _NAME.NAMESPACE_RELEASED: Description(
            _I, ("namespace", "missed", "by"), "somebody said what becomes of what it missed"
        ),
        _NAME.NAMESPACE_FREED: Description(
            _I, ("namespace", "missed"), "all that was held of it was let go"
        ),
        _NAME.KEY_CREATED: Description(_I, ("key_id", "by"), "an API key was made"),
        _NAME.KEY_REVOKED: Description(_I, ("key_id", "by"), "an API key opens nothing any more"),
        _NAME.AUDIT_SEALED: Description(
            _I, ("seq", "hash", "entries"), "so far the audit log is sealed: a place to hold it to"
        ),
        _NAME.AUDIT_PRUNED: Description(
            _I, ("seq", "entries"), "entries of the audit log up to there were older than kept"
        ),
        _NAME.AUDIT_BROKEN: Description(
            _E, ("seq", "detail"), "the audit log does not end where it was sealed: verify it"
        ),
        _NAME.SESSION_BEGUN: Description(_I, ("by", "peer"), "somebody logged in, with this key"),
        _NAME.SESSION_ENDED: Description(_I, ("peer",), "somebody logged out"),
        _NAME.SESSION_REFUSED: Description(
            _W, ("peer",), "somebody tried to log in with a key that opens nothing"
        ),
        _NAME.RATE_LIMITED: Description(
            _D, ("limit",), "a caller was told to wait: its budget is spent"
        ),
        _NAME.BREAKER_OPENED: Description(
            _W,
            ("namespace", "key", "failures", "retry_at"),
            "calls to this key fail: its runs wait, and one is tried at `retry_at`",
        ),
        _NAME.BREAKER_CLOSED: Description(
            _I, ("namespace", "key"), "a probe came through, and what waited may go"
        ),
        _NAME.REPLICA_STARTED: Description(_I, ("replica",), "it takes work"),
        _NAME.REPLICA_DRAINING: Description(
            _I, ("held",), "it claims no more and lets running attempts end"
        ),
        _NAME.REPLICA_STOPPED: Description(_I, ("replica",), "it has left"),
        _NAME.LEASE_LOST: Description(
            _W, ("error",), "no heartbeat for a lease: it starts nothing until it has one"
        ),
        _NAME.SETTLE_SUPERSEDED: Description(
            _W, _ENDED, "an outcome came after another replica had taken the run over"
        ),
        _NAME.TICK_FAILED: Description(
            _E, ("error", *_RUN), "one pass, or one dispatch, raised; the loop goes on"
        ),
        _NAME.TICK_ENDED: Description(_D, ("claimed", "duration_ms"), "one pass was made"),
        _NAME.CLOCK_STEPPED: Description(
            _W, ("seconds",), "the database's clock was set, forward or (below zero) back"
        ),
        _NAME.DATABASE_AWAY: Description(_W, ("error",), "it does not answer; waiting for it"),
        _NAME.DATABASE_BACK: Description(_I, (), "it answers again"),
        _NAME.STANDBY_AWAY: Description(
            _W, ("error",), "it can not be read, so that the primary is; tried again every 5 s"
        ),
        _NAME.STANDBY_BACK: Description(_I, (), "lists and history are read from it again"),
        _NAME.PARTITIONS_MADE: Description(_I, ("names",), "days of history made ahead"),
        _NAME.PARTITIONS_DROPPED: Description(_I, ("names",), "days of history dropped"),
        _NAME.HISTORY_ARCHIVED: Description(
            _I, ("name", "runs", "file"), "a day that goes is whole in a file"
        ),
        _NAME.ARCHIVE_FAILED: Description(
            _E, ("name", "error"), "a day could not be written, so it stays; tried again"
        ),
        _NAME.HISTORY_PRUNED: Description(
            _I, ("jobs", "runs"), "ended runs that their jobs keep no longer were deleted"
        ),
        _NAME.API_REQUEST: Description(_I, _ASKED, "one request answered"),
        _NAME.API_FAILED: Description(_E, (*_ASKED, "error"), "a bug: the caller got a 500"),
        _NAME.DRIFT_SETTLED: Description(
            _I, ("moved", "before", "after"), "what other versions had computed was judged anew"
        ),
        _NAME.CERTIFICATE_LOADED: Description(
            _I, ("expires_at",), "handshakes get the certificate that the files hold now"
        ),
        _NAME.CERTIFICATE_REFUSED: Description(
            _E, ("error", "expires_at"), "the files can not be used; the old certificate goes on"
        ),
        _NAME.CERTIFICATE_EXPIRING: Description(
            _W, ("expires_at", "days"), "the certificate of the port ends soon: once a day"
        ),
        _NAME.PING_FAILED: Description(
            _W, ("outcome", "status_code"), "the dead man's switch can not be reached"
        ),
        _NAME.PING_BACK: Description(
            _I, ("outcome", "status_code"), "the dead man's switch answers again"
        ),
        _NAME.TRACE_FAILED: Description(
            _W,
            ("error", "dropped"),
            "spans can not be sent; those that found no room are dropped, and calls go on",
        ),
        _NAME.TRACE_BACK: Description(
            _I, ("dropped",), "the collector takes spans again; so many were dropped"
        ),
        _NAME.SERVICE_STARTED: Description(_I, ("host", "port", "role"), "the process is up"),
        _NAME.SERVICE_STOPPED: Description(_I, ("code", "error"), "the process is leaving"),
        _NAME.LOG_SAMPLED: Description(
            _I, ("left_out",), "so many successes of a second had no line of their own"
        ),
        _NAME.LIBRARY_LOG: Description(
            _I, ("logger", "message"), "a library had something to say, at its own level"
        ),
    }
)


def emit(name: EventName, /, **fields: object) -> None:
    """Log one event at the level of its description; what is not shown costs next to nothing."""
    level = EVENTS[name].level
    if level >= logging.root.level:  # as `logs.configure` set it
        _LOG.log(level, str(name), **fields)


class Listener(Protocol):
    """Takes one event with its fields as they are, and changes nothing of them."""

    def __call__(self, name: EventName, fields: dict[str, Any], /) -> None: ...


def fan_out(*listeners: Listener, log: OnEvent | None = None) -> OnEvent:
    """Tell several listeners, in order: the metrics, the event stream; the log of what it shows."""
    levels, root = {name: described.level for name, described in EVENTS.items()}, logging.root

    def tell(name: EventName, /, **fields: object) -> None:
        if log is not None and levels[name] >= root.level:
            log(name, **fields)
        for listener in listeners:
            listener(name, fields)

    return tell


def fan_out_all(*listeners: OnEvents, log: OnEvent | None = None) -> OnEvents:
    """Do the same for events that come by the batch: each listener hears all of them at once."""
    levels, root = {name: described.level for name, described in EVENTS.items()}, logging.root

    def tell(name: EventName, told: Sequence[T], fields: Callable[[T], dict[str, Any]], /) -> None:
        if log is None or levels[name] < root.level:
            for listener in listeners:
                listener(name, told, fields)
            return
        written = [fields(one) for one in told]
        for one in written:
            log(name, **one)
        for listener in listeners:
            listener(name, written, _as_they_are)

    return tell


def _as_they_are(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def table() -> str:
    """Render the events as the markdown table of docs/operations.md."""
    lines = ["| event | level | fields | meaning |", "| --- | --- | --- | --- |"]
    for name, event in EVENTS.items():
        level = logging.getLevelName(event.level).lower()
        fields = " ".join(event.fields)
        lines.append(f"| `{name}` | {level} | `{fields}` | {event.meaning} |")
    return "\n".join(lines)
