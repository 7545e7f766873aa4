"""What has happened, counted: plain numbers in dictionaries, added to by events.

Promises that counting costs a fire a few microseconds (bench/metrics.py measures it), takes no lock
and never raises for an unknown value. Formats nothing: `exposition` does, when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from scheduler_svc.domain.events import EventName, T
from scheduler_svc.telemetry.families import BY_NAME

TRIGGERS = ("schedule", "manual", "backfill", "catch_up", "replay", "alert")
ENDS: dict[str, str] = {
    EventName.RUN_SUCCEEDED: "succeeded",
    EventName.RUN_FAILED: "failed",
    EventName.RUN_CANCELLED: "cancelled",
}
ENDED: frozenset[str] = frozenset(
    {
        *ENDS,
        EventName.RUN_RETRYING,
        EventName.RUN_AWAITING,
        EventName.ALERT_SENT,
        EventName.ALERT_FAILED,
    }
)
"""What tells of an attempt that was made, of most by the batch."""
MISSED = frozenset({"misfire", "too_late", "merged"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One series at one moment; `counts` by bucket or [count], where `value` is the sum."""

    labels: tuple[str, ...] = ()
    value: float = 0.0
    counts: tuple[int, ...] = ()


Snapshot = dict[str, list[Sample]]
Labels = tuple[str, ...]


class Spread:
    """A histogram that is being counted."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """Takes events, as any listener does, and gives what it counted as samples."""

    def __init__(self, *, jobs_max: int = 0) -> None:
        self._jobs_max = jobs_max
        self._jobs: dict[Labels, int] = {}
        self._seen: set[str] = set()
        self._counts: dict[str, dict[Labels, int]] = {
            name.removeprefix("scheduler_"): {}
            for name, family in BY_NAME.items()
            if family.kind == "counter"
        }
        self._spreads: dict[tuple[str, str], Spread] = {}
        # Bound once: the path of a fire looks nothing up by name.
        self._events: dict[str, int] = dict.fromkeys(EventName, 0)
        self._fires = self._counts["fires"]
        self._attempts = self._counts["attempts"]
        self._runs = self._counts["runs"]
        self._late: dict[str, Spread] = {
            name: self._spread("lateness_seconds", name) for name in TRIGGERS
        }
        self._took: dict[str, Spread] = {"ok": self._spread("attempt_duration_seconds", "ok")}
        self._begin()
        self._handlers: Mapping[str, Callable[[str, dict[str, Any]], None]] = {
            EventName.SETTLE_SUPERSEDED: self._superseded,
            EventName.RUN_SKIPPED: self._skipped,
            EventName.RUN_RESCUED: self._rescued,
            EventName.TICK_ENDED: self._ticked,
            EventName.API_REQUEST: self._answered,
            EventName.RATE_LIMITED: self._limited,
            EventName.BREAKER_OPENED: self._breaker,
            EventName.BREAKER_CLOSED: self._breaker,
        }

    def __call__(self, name: EventName, /, **fields: object) -> None:
        """Count one event."""
        self.hear(name, fields)

    def hear(self, name: EventName, fields: dict[str, Any]) -> None:
        """Count one event whose fields are at hand."""
        self._events[name] = self._events.get(name, 0) + 1
        if name in ENDED:
            self._ended(name, (fields,))
        elif (handler := self._handlers.get(name)) is not None:
            handler(name, fields)

    def hear_all(
        self, name: EventName, told: Sequence[T], fields: Callable[[T], dict[str, Any]], /
    ) -> None:
        """Count several events of a name; of most names nothing but how many there were."""
        self._events[name] = self._events.get(name, 0) + len(told)
        if name in ENDED:
            self._ended(name, [fields(one) for one in told])
        elif (handler := self._handlers.get(name)) is not None:
            for one in told:
                handler(name, fields(one))

    def statement(self, name: str, seconds: float, *, failed: bool) -> None:
        """Count one statement of the database."""
        self._spread("statement_seconds", name).add(seconds)
        self._add("statement_errors", name, by=failed)

    def snapshot(self) -> Snapshot:
        """Return all that was counted."""
        found: Snapshot = {
            f"scheduler_{family}": [Sample(key, value) for key, value in counted.items()]
            for family, counted in self._counts.items()
        }
        found["scheduler_events"] = [Sample((str(k),), n) for k, n in self._events.items()]
        found["scheduler_job_runs"] = [Sample(key, n) for key, n in self._jobs.items()]
        for (family, label), spread in self._spreads.items():
            name = f"scheduler_{family}"
            labels = (label,) if BY_NAME[name].labels else ()
            found.setdefault(name, []).append(Sample(labels, spread.total, tuple(spread.counts)))
        return found

    def _begin(self) -> None:
        """Show zero where nothing happened yet: a rate needs the value before the first."""
        for trigger in TRIGGERS:
            self._fires[trigger,] = 0
        for status in ("succeeded", "cancelled"):
            self._runs[status, "" if status == "succeeded" else status] = 0
        for reason in ("attempts", "next_occurrence", "deadline", "status", "gone", "blocked"):
            self._runs["failed", reason] = 0
        self._attempts["ok",] = 0
        for name in ("retries", "superseded"):
            self._counts[name][()] = 0
        for status in ("due", "failed"):
            self._counts["rescued"][status,] = 0
        for reason in ("overlap", "paused", "max_runs", *sorted(MISSED)):
            self._counts["occurrences_skipped"][reason,] = 0
            self._runs["skipped", reason] = 0
        for policy in ("once", "skip", "all"):
            for reason in sorted(MISSED):
                self._counts["misfires"][policy, reason] = 0
        for to in ("open", "closed"):
            self._counts["breaker_changes"][to,] = 0
        self._tick = self._spread("tick_duration_seconds", "")
        self._claimed = self._spread("tick_claimed_runs", "")

    def _spread(self, family: str, label: str) -> Spread:
        spread = self._spreads.get((family, label))
        if spread is None:
            spread = self._spreads[family, label] = Spread(BY_NAME[f"scheduler_{family}"].buckets)
        return spread

    def _add(self, family: str, *labels: str, by: int = 1) -> None:
        counted = self._counts[family]
        counted[labels] = counted.get(labels, 0) + by

    def _tried(self, told: Sequence[dict[str, Any]]) -> None:
        """Count attempts; many that come together fall under the same labels."""
        sent = [one for one in told if one["outcome"] is not None]
        kinds = Counter([(one["outcome"], one["trigger"], one["attempt"] == 1) for one in sent])
        for (outcome, trigger, first), count in kinds.items():
            self._attempts[outcome,] = self._attempts.get((outcome,), 0) + count
            if first:
                self._fired(trigger, count)
        for one in sent:
            outcome = one["outcome"]
            took = self._took.get(outcome)
            if took is None:
                took = self._took[outcome] = self._spread("attempt_duration_seconds", outcome)
            # As `Spread.add` does it, without the calls: this is on the path of every fire.
            seconds = one["duration_ms"] / 1000
            took.counts[bisect_left(took.bounds, seconds)] += 1
            took.total += seconds
            if (late := one["lateness_ms"]) is not None:
                spread = self._late.get(one["trigger"]) or self._spread("lateness_seconds", OTHER)
                seconds = late / 1000
                spread.counts[bisect_left(spread.bounds, seconds)] += 1
                spread.total += seconds

    def _ended(self, name: str, told: Sequence[dict[str, Any]]) -> None:
        self._tried(told)
        status = ENDS.get(name)
        if status is None:
            if name == EventName.RUN_RETRYING:  # another attempt follows
                self._counts["retries"][()] += len(told)
            return
        for reason, count in Counter([one["reason"] or "" for one in told]).items():
            key = status, reason
            self._runs[key] = self._runs.get(key, 0) + count
        if self._jobs_max:
            for one in told:
                self._of_job(str(one["job_id"]), status)

    def _of_job(self, job_id: str, status: str) -> None:
        if job_id not in self._seen:
            if len(self._seen) >= self._jobs_max:
                job_id = OTHER
            else:
                self._seen.add(job_id)
        self._jobs[job_id, status] = self._jobs.get((job_id, status), 0) + 1

    def _superseded(self, _name: str, _fields: dict[str, Any]) -> None:
        self._counts["superseded"][()] += 1

    def _skipped(self, _name: str, fields: dict[str, Any]) -> None:
        reason, count = fields["reason"], fields["occurrences"]
        self._add("runs", "skipped", reason)
        self._add("occurrences_skipped", reason, by=count)
        if reason in MISSED:
            self._add("misfires", fields.get("policy") or OTHER, reason, by=count)

    def _fired(self, trigger: str, count: int = 1) -> None:
        """Count a first attempt, once it is in the ledger: one that was not sent is begun again."""
        key = (trigger,)
        self._fires[key] = self._fires.get(key, 0) + count

    def _rescued(self, _name: str, fields: dict[str, Any]) -> None:
        self._add("rescued", fields["status"])
        self._add("attempts", "lost")
        if fields["attempt"] == 1:
            self._fired(fields["trigger"])
        if fields["status"] != "due":  # it had lost too many, was called off, or was reported
            self._add("runs", fields["status"], fields["reason"] or "")

    def _ticked(self, _name: str, fields: dict[str, Any]) -> None:
        self._tick.add(fields["duration_ms"] / 1000)
        self._claimed.add(fields["claimed"])

    def _answered(self, _name: str, fields: dict[str, Any]) -> None:
        method = fields["method"] if fields["method"] in METHODS else OTHER
        route = fields["route"] or "none"
        self._add("api_requests", method, route, str(fields["status"]))
        self._spread("api_duration_seconds", route).add(fields["duration_ms"] / 1000)

    def _limited(self, _name: str, fields: dict[str, Any]) -> None:
        self._add("rate_limited", str(fields.get("limit", OTHER)))

    def _breaker(self, name: str, _fields: dict[str, Any]) -> None:
        self._add("breaker_changes", "open" if name == EventName.BREAKER_OPENED else "closed")
