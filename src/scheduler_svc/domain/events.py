"""The closed list of what this service says has happened: names, and the shape of one who listens.

Promises one name for each transition, the same in logs, in metrics and in the event stream.
Says nothing itself: the engine and the API are given a listener, and the edges decide what
becomes of it.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class EventName(StrEnum):
    """A noun of the vocabulary and what became of it; a new one is described in telemetry."""

    JOB_CREATED = "job.created"
    JOB_UPDATED = "job.updated"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_COMPLETED = "job.completed"
    JOB_DELETED = "job.deleted"
    JOB_PARKED = "job.parked"
    JOB_MOVED = "job.moved"
    BULK_DONE = "bulk.done"
    RUN_STARTED = "run.started"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_RETRYING = "run.retrying"
    RUN_SKIPPED = "run.skipped"
    RUN_CANCELLED = "run.cancelled"
    RUN_RESCUED = "run.rescued"
    RUN_AWAITING = "run.awaiting"
    ALERT_RAISED = "alert.raised"
    ALERT_SENT = "alert.sent"
    ALERT_FAILED = "alert.failed"
    REPLAY_CREATED = "replay.created"
    REPLAY_COMPLETED = "replay.completed"
    REPLAY_CANCELLED = "replay.cancelled"
    BACKFILL_CREATED = "backfill.created"
    BACKFILL_COMPLETED = "backfill.completed"
    BACKFILL_CANCELLED = "backfill.cancelled"
    SECRET_CHANGED = "secret.changed"  # noqa: S105 - a name
    SECRET_DELETED = "secret.deleted"  # noqa: S105 - a name
    SIGNING_CREATED = "signing.created"
    SIGNING_EXPIRES = "signing.expires"
    NAMESPACE_UPDATED = "namespace.updated"
    NAMESPACES_HELD = "namespaces.held"
    NAMESPACE_RELEASED = "namespace.released"
    NAMESPACE_FREED = "namespace.freed"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    AUDIT_SEALED = "audit.sealed"
    AUDIT_PRUNED = "audit.pruned"
    AUDIT_BROKEN = "audit.broken"
    SESSION_BEGUN = "session.begun"
    SESSION_ENDED = "session.ended"
    SESSION_REFUSED = "session.refused"
    RATE_LIMITED = "rate.limited"
    BREAKER_OPENED = "breaker.opened"
    BREAKER_CLOSED = "breaker.closed"
    REPLICA_STARTED = "replica.started"
    REPLICA_DRAINING = "replica.draining"
    REPLICA_STOPPED = "replica.stopped"
    LEASE_LOST = "lease.lost"
    SETTLE_SUPERSEDED = "settle.superseded"
    TICK_FAILED = "tick.failed"
    TICK_ENDED = "tick.ended"
    CLOCK_STEPPED = "clock.stepped"
    DATABASE_AWAY = "database.away"
    DATABASE_BACK = "database.back"
    STANDBY_AWAY = "standby.away"
    STANDBY_BACK = "standby.back"
    PARTITIONS_MADE = "partitions.made"
    PARTITIONS_DROPPED = "partitions.dropped"
    HISTORY_ARCHIVED = "history.archived"
    ARCHIVE_FAILED = "archive.failed"
    HISTORY_PRUNED = "history.pruned"
    API_REQUEST = "api.request"
    API_FAILED = "api.failed"
    CERTIFICATE_LOADED = "certificate.loaded"
    CERTIFICATE_REFUSED = "certificate.refused"
    CERTIFICATE_EXPIRING = "certificate.expiring"
    PING_FAILED = "ping.failed"
    PING_BACK = "ping.back"
    TRACE_FAILED = "trace.failed"
    TRACE_BACK = "trace.back"
    DRIFT_SETTLED = "drift.settled"
    SERVICE_STARTED = "service.started"
    SERVICE_STOPPED = "service.stopped"
    LOG_SAMPLED = "log.sampled"
    LIBRARY_LOG = "library.log"


class OnEvent(Protocol):
    """Takes one event; must be quick, must not raise, and must not keep the fields."""

    def __call__(self, name: EventName, /, **fields: object) -> None: ...


class OnEvents(Protocol):
    """Takes several events of one name, as they came; under the same rules as `OnEvent`.

    `fields` writes down those of one, and is asked only where somebody wants them.
    """

    def __call__(
        self, name: EventName, told: Sequence[T], fields: Callable[[T], dict[str, Any]], /
    ) -> None: ...


def ignore(_name: EventName, /, **_fields: object) -> None:
    """Listen to nothing: for tests and tools that care only about what is stored."""
