"""What each event means, how loud it is, and the one function that says it.

Promises that every name of the closed list is described here; docs/operations.md shows this table.
Will not format sentences: an event is a name and fields, so that it can be counted and searched.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import structlog

from scheduler_svc.domain.events import EventName, OnEvent

_LOG = structlog.get_logger()
_D, _I, _W, _E = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR


class Description(NamedTuple):
    level: int
    fields: tuple[str, ...]
    meaning: str


_JOB = ("job_id", "namespace")
_RUN = ("run_id", "job_id", "attempt", "scheduled_for")
_E_ = EventName

EVENTS: Mapping[EventName, Description] = MappingProxyType(
    {
        _E_.JOB_CREATED: Description(_I, _JOB, "a job was created"),
        _E_.JOB_UPDATED: Description(_I, (*_JOB, "revision"), "its definition changed"),
        _E_.JOB_PAUSED: Description(_I, (*_JOB, "reason"), "it fires no more until resumed"),
        _E_.JOB_RESUMED: Description(_I, _JOB, "it fires again, at its own cadence"),
        _E_.JOB_COMPLETED: Description(_I, _JOB, "no occurrence is left"),
        _E_.JOB_DELETED: Description(_I, _JOB, "it is gone; its history stays until pruned"),
        _E_.JOB_PARKED: Description(
            _E, (*_JOB, "error"), "deciding it raised, so it is paused and the others go on"
        ),
        _E_.RUN_STARTED: Description(_D, (*_RUN, "lateness_ms"), "an attempt is being sent"),
        _E_.RUN_SUCCEEDED: Description(_I, (*_RUN, "status_code", "duration_ms"), "it ended well"),
        _E_.RUN_FAILED: Description(
            _W, (*_RUN, "reason", "outcome", "status_code"), "it ended badly, for good"
        ),
        _E_.RUN_RETRYING: Description(
            _I, (*_RUN, "outcome", "status_code", "next_attempt_at"), "another attempt will follow"
        ),
        _E_.RUN_SKIPPED: Description(
            _I, (*_RUN, "reason", "occurrences"), "occurrences were not sent, by this rule"
        ),
        _E_.RUN_CANCELLED: Description(_I, (*_RUN, "reason"), "it was called off"),
        _E_.RUN_RESCUED: Description(_W, (*_RUN, "replica"), "taken over from a replica that died"),
        _E_.REPLICA_STARTED: Description(_I, ("replica", "role", "slots"), "it takes work"),
        _E_.REPLICA_DRAINING: Description(
            _I, ("replica", "running"), "it claims no more and lets attempts finish"
        ),
        _E_.REPLICA_STOPPED: Description(_I, ("replica", "unsettled"), "it has left"),
        _E_.LEASE_LOST: Description(
            _W, ("replica",), "no heartbeat for a lease: it starts nothing until it has one"
        ),
        _E_.SETTLE_SUPERSEDED: Description(
            _W, _RUN, "an outcome came after another replica had taken the run over"
        ),
        _E_.TICK_FAILED: Description(_E, ("error",), "one pass of the loop raised; it goes on"),
        _E_.CLOCK_STEPPED: Description(
            _W, ("offset_ms", "change_ms"), "the database's clock moved against this machine's"
        ),
        _E_.DATABASE_AWAY: Description(_W, ("error",), "it does not answer; waiting with backoff"),
        _E_.DATABASE_BACK: Description(_I, ("away_ms",), "it answers again"),
        _E_.PARTITIONS_MADE: Description(_I, ("names",), "days of history made ahead"),
        _E_.PARTITIONS_DROPPED: Description(_I, ("names",), "days of history dropped"),
        _E_.API_REQUEST: Description(
            _I, ("request_id", "method", "path", "status", "duration_ms"), "one request answered"
        ),
        _E_.API_FAILED: Description(
            _E, ("request_id", "method", "path", "error"), "a bug: the caller got a 500"
        ),
        _E_.SERVICE_STARTED: Description(
            _I, ("version", "profile", "role", "address", "data"), "the process is up"
        ),
        _E_.SERVICE_STOPPED: Description(_I, ("reason", "exit_code"), "the process is leaving"),
        _E_.LIBRARY_LOG: Description(
            _I, ("logger", "message"), "a library had something to say, at its own level"
        ),
    }
)


def emit(name: EventName, /, **fields: object) -> None:
    """Log one event at the level of its description."""
    _LOG.log(EVENTS[name].level, str(name), **fields)


def fan_out(*listeners: OnEvent) -> OnEvent:
    """Tell several listeners, in order: the log, the metrics, the event stream."""

    def tell(name: EventName, /, **fields: object) -> None:
        for listener in listeners:
            listener(name, **fields)

    return tell


def table() -> str:
    """Render the events as the markdown table of docs/operations.md."""
    lines = ["| event | level | fields | meaning |", "| --- | --- | --- | --- |"]
    for name, event in EVENTS.items():
        level = logging.getLevelName(event.level).lower()
        fields = " ".join(event.fields)
        lines.append(f"| `{name}` | {level} | `{fields}` | {event.meaning} |")
    return "\n".join(lines)
