"""The metrics there are: names, kinds, meanings, labels and buckets, as one list to read.

Promises that each label has a bounded set of values. docs/operations.md shows the table.
"""

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram", "summary", "info"]

LATENESS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
DURATION = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)
WORKER = "worker"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric; `shared` where it tells of the database, and not of one replica."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    shared: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """Return the labels as they go out: with the number of the worker, unless shared."""
        return self.labels if self.shared else (WORKER, *self.labels)

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names that a query may use."""
        match self.kind:
            case "counter":
                return (f"{self.name}_total",)
            case "info":
                return (f"{self.name}_info",)
            case "histogram":
                return tuple(f"{self.name}_{end}" for end in ("bucket", "count", "sum"))
            case "summary":
                return tuple(f"{self.name}_{end}" for end in ("count", "sum"))
            case "gauge":
                return (self.name,)


def _counter(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=f"scheduler_{name}", kind="counter", meaning=meaning, labels=labels)


def _gauge(name: str, meaning: str, *labels: str, shared: bool = False) -> Family:
    return Family(
        name=f"scheduler_{name}", kind="gauge", meaning=meaning, labels=labels, shared=shared
    )


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Family:
    return Family(
        name=f"scheduler_{name}", kind="histogram", meaning=meaning, labels=labels, buckets=buckets
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        name="scheduler_build",
        kind="info",
        meaning="what runs: 1",
        labels=("version", "python", "tzdata", "role"),
    ),
    _counter("fires", "runs whose first attempt has ended", "trigger"),
    _counter("attempts", "attempts that ended", "outcome"),
    _counter("retries", "attempts after which another follows"),
    _counter("runs", "runs that ended here, and rows of skipped ones", "status", "reason"),
    _counter("occurrences_skipped", "occurrences that were not sent, by rule", "reason"),
    _counter("misfires", "occurrences missed, by the policy that judged them", "policy", "reason"),
    _counter("rescued", "runs taken over from dead replicas", "status"),
    _counter("superseded", "ends that came after another replica had taken over"),
    _counter("events", "events of the log, by name", "event"),
    _counter("job_runs", "ended runs of single jobs, where asked for", "job_id", "status"),
    _histogram("lateness_seconds", "first attempt sent, less its instant", LATENESS, "trigger"),
    _histogram("attempt_duration_seconds", "one HTTP exchange", DURATION, "outcome"),
    _histogram("tick_duration_seconds", "one pass of the loop", QUICK),
    _histogram("tick_claimed_runs", "runs that one pass claimed", SIZES),
    _gauge("tick_age_seconds", "since the last pass that succeeded; absent with the role api"),
    _gauge("slots", "runs this replica may hold"),
    _gauge("slots_used", "runs it holds: waiting for their instant, being sent, being settled"),
    _gauge("runs_held", "of these, those that wait for their instant"),
    _gauge("lease_held", "1 while it may start sending"),
    _gauge("lease_age_seconds", "since the heartbeat that renewed the lease"),
    _gauge("clock_offset_seconds", "this host's wall clock less the database's"),
    _gauge("database_connections", "connections of a pool, idle or used", "pool", "state"),
    _gauge("database_connections_max", "connections a pool may open", "pool"),
    Family(
        name="scheduler_statement_seconds",
        kind="summary",
        meaning="time of a statement of the database, by its name",
        labels=("statement",),
    ),
    _counter("statement_errors", "statements that raised", "statement"),
    _counter("api_requests", "requests answered", "method", "route", "status"),
    _histogram("api_duration_seconds", "one request", QUICK, "route"),
    _counter("rate_limited", "what was held back by a limit, by its kind", "limit"),
    _gauge("certificate_expires_seconds", "when the port's own certificate ends, in Unix time"),
    _gauge("breakers_open", "targets that are spared because they fail"),
    _counter("breaker_changes", "breakers that opened or closed", "to"),
    _counter("process_cpu_seconds", "processor time of the process"),
    _gauge("process_resident_bytes", "memory of the process"),
    _gauge("process_start_time_seconds", "when it started, in Unix time"),
    _gauge("workers", "replicas under this command", shared=True),
    _gauge("workers_silent", "of these, those missing on this page", shared=True),
    _gauge("database_up", "1 where what follows could be read", shared=True),
    _gauge("replicas", "replicas that hold a lease", "role", shared=True),
    _gauge("replicas_wanted", "SCHEDULER_REPLICAS_WANTED", shared=True),
    _gauge(
        "backlog_due",
        "what is due and waits, though not for its key; counted to 10000",
        "kind",
        shared=True,
    ),
    _gauge("backlog_overdue", "of that, what is due for over 10 s", "kind", shared=True),
    _gauge("backlog_oldest_seconds", "for how long the oldest is due", "kind", shared=True),
    _gauge("audit_unsealed_seconds", "for how long an audit entry waits for its seal", shared=True),
    _gauge("jobs_never_ran", "jobs due for 5 minutes that never made a run", shared=True),
    _gauge(
        "sql_requests_waiting",
        "what was asked for in SQL and not carried out; counted to 10000",
        shared=True,
    ),
    _gauge("sql_requests_oldest_seconds", "for how long the oldest of that waits", shared=True),
    _gauge("namespaces_held", "namespaces that are held, not all let go yet", shared=True),
    _gauge("partitions_ahead", "days of history made ahead of today, without a gap", shared=True),
)
BY_NAME = {family.name: family for family in FAMILIES}


def table() -> str:
    """Render the metrics as the markdown table of docs/operations.md."""
    lines = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for family in FAMILIES:
        names = family.series[0] if len(family.series) == 1 else family.name
        labels = " ".join(family.shown)
        lines.append(f"| `{names}` | {family.kind} | `{labels}` | {family.meaning} |")
    return "\n".join(lines).replace("| `` |", "|  |")
