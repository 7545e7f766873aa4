"""Incidents of a job: conditions that begin, are told once, and are told once more when over.

Pure: what a job remembers and the end of a run in; what it remembers now, what to tell, and whether
to pause it out. Counts the runs of the cadence, triggers and single replays; not backfills, replays
by filter, nor alerts themselves. Ends are taken in the order in which they are settled.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct, structs

from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.occurrences import fire_at
from scheduler_svc.domain.runs import RunStatus, Trigger
from scheduler_svc.domain.words import counted

Incident = Literal["failed", "failures_in_row", "failures_of", "late", "never_ran", "slow"]
Condition = Literal[
    "failed",
    "failures_in_row",
    "failures_of",
    "late",
    "never_ran",
    "slow",
    "recovered",
    "auto_paused",
]
OUTCOMES_MAX = 64
DURATIONS_MAX = 50
DURATIONS_MIN = 10
"""So many successful runs must be known before one can be called slow."""
ON_TIME: frozenset[str] = frozenset({"schedule", "catch_up", "manual"})
"""Runs whose lateness means something: a replay bears the time of its original."""
_COUNTED = frozenset({"schedule", "catch_up", "manual", "replay"})


class End(Struct, frozen=True, kw_only=True):
    """What became of a run: its end, or what its first attempt said of its lateness."""

    run_id: UUID
    job_id: UUID
    namespace: str
    trigger: Trigger
    scheduled_ms: int
    status: RunStatus
    reason: str | None
    attempt_count: int
    started_at: datetime | None
    lateness_ms: int | None
    duration_ms: int | None
    by_filter: bool = False
    late_is_news: bool = False
    """Its first attempt ended just now, so nobody has judged its lateness yet."""

    @property
    def counts(self) -> bool:
        """Tell whether it says something about the health of its job."""
        return self.trigger in _COUNTED and not self.by_filter


class Memory(Struct, frozen=True, kw_only=True):
    """What is remembered of a job; `outcomes` is one letter a run, the newest last."""

    failures_in_row: int = 0
    outcomes: str = ""
    durations: list[int] = []
    incidents: frozenset[Incident] = frozenset()
    last_started_ms: int | None = None
    quiet_ms: int | None = None
    watch_ms: int | None = None


class Raised(Struct, frozen=True):
    """Something to tell: the condition, a sentence, and what belongs to it."""

    condition: Condition
    detail: str
    facts: dict[str, Any] = {}


class Judged(Struct, frozen=True):
    """What an end leads to."""

    memory: Memory
    raised: list[Raised]
    pause: str | None = None
    """Why the job is to be paused; null where it is not."""


def rules_for(job: Alerts, namespace: Alerts | None) -> Alerts | None:
    """Return whose alerts count: the job's own, else its namespace's; None where nobody is told."""
    if job.url is not None:
        return job
    return None if namespace is None or namespace.url is None else namespace


def no_rules(_namespace: str) -> Alerts | None:
    """Return the alerts of a namespace where namespaces have none."""
    return None


def judge(job: PlannedJob, rule: Alerts | None, memory: Memory, end: End) -> Judged:
    """Judge the end of one run; `rule` is None where only the auto-pause needs to count."""
    if not end.counts:
        return Judged(memory, [])
    begun: list[Raised] = []
    over: set[Incident] = set()
    memory = _started(memory, end, over)
    if rule is not None and end.late_is_news and end.trigger in ON_TIME:
        if not is_late(job, rule, end):
            over |= memory.incidents & {"late"}
        elif "late" not in memory.incidents:
            begun.append(late(rule, end.lateness_ms))
    pause = None
    match end.status:
        case "failed":
            memory, pause = _failed(job, rule, memory, end, begun)
        case "succeeded":
            memory = _succeeded(rule, memory, end, begun, over)
        case _:
            pass
    return _told(rule, memory, begun, over, pause)


def is_late(job: PlannedJob, rule: Alerts, end: End) -> bool:
    """Tell whether a first attempt was later than its spread and the rule allow."""
    planned = 0
    if end.trigger != "manual":
        planned = fire_at(job.timetable, end.scheduled_ms) - end.scheduled_ms
    return (end.lateness_ms or 0) - planned > milliseconds(rule.late_after)


def late(rule: Alerts, lateness_ms: int | None) -> Raised:
    """Tell that a run left too late, or (None) that it has not left yet."""
    how = "has not been sent yet" if lateness_ms is None else f"was sent {lateness_ms} ms late"
    return Raised("late", f"A run {how}; {rule.late_after} is allowed.")


def recovered(rule: Alerts | None, over: set[Incident]) -> list[Raised]:
    """Tell that incidents are over, where that is wanted."""
    if not over or rule is None or not rule.on_recovery:
        return []
    named = sorted(over)
    return [Raised("recovered", f"It is over: {', '.join(named)}.", {"incidents": named})]


def p95(durations: list[int]) -> int:
    """Return the duration that 95 in a hundred did not exceed."""
    ordered = sorted(durations)
    return ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]


def _told(
    rule: Alerts | None,
    memory: Memory,
    begun: list[Raised],
    over: set[Incident],
    pause: str | None,
) -> Judged:
    named = {one.condition for one in begun}
    incidents = (memory.incidents - over) | frozenset(one for one in _INCIDENTS if one in named)
    told = [] if rule is None else [*begun, *recovered(rule, over)]
    return Judged(structs.replace(memory, incidents=incidents), told, pause)


_INCIDENTS: tuple[Incident, ...] = (
    "failed",
    "failures_in_row",
    "failures_of",
    "late",
    "never_ran",
    "slow",
)


def _started(memory: Memory, end: End, over: set[Incident]) -> Memory:
    if end.started_at is None:
        return memory
    if "never_ran" in memory.incidents:
        over.add("never_ran")
    started_ms = max(epoch_ms(end.started_at), memory.last_started_ms or 0)
    return structs.replace(memory, last_started_ms=started_ms)


def _failed(
    job: PlannedJob, rule: Alerts | None, memory: Memory, end: End, begun: list[Raised]
) -> tuple[Memory, str | None]:
    row = memory.failures_in_row + 1
    outcomes = (memory.outcomes + "f")[-OUTCOMES_MAX:]
    if rule is not None:
        known = memory.incidents
        if rule.every_failure:
            begun.append(Raised("failed", f"A run failed: {end.reason}."))
        if row >= rule.failures_in_row and "failures_in_row" not in known:
            begun.append(
                Raised("failures_in_row", f"{counted(row, 'run')} in a row failed.", {"count": row})
            )
        if (share := rule.failures_of) is not None and "failures_of" not in known:
            bad = outcomes[-share.runs :].count("f")
            if bad >= share.failures:
                detail = f"{bad} of the last {counted(share.runs, 'run')} failed."
                begun.append(Raised("failures_of", detail, {"count": bad, "runs": share.runs}))
    limit, pause = job.definition.auto_pause_after, None
    if 0 < limit <= row:
        pause = f"{counted(row, 'run')} in a row failed (auto_pause_after)"
        row = 0  # what follows a resume counts from the beginning
    return structs.replace(memory, failures_in_row=row, outcomes=outcomes), pause


def _succeeded(
    rule: Alerts | None, memory: Memory, end: End, begun: list[Raised], over: set[Incident]
) -> Memory:
    outcomes = (memory.outcomes + "s")[-OUTCOMES_MAX:]
    over |= memory.incidents & {"failed", "failures_in_row"}
    if "failures_of" in memory.incidents:
        share = None if rule is None else rule.failures_of
        if share is None or outcomes[-share.runs :].count("f") < share.failures:
            over.add("failures_of")
    durations = memory.durations
    if rule is not None and rule.slow_factor is not None and end.duration_ms is not None:
        _judge_slow(rule.slow_factor, memory, end.duration_ms, begun, over)
        durations = [*durations, end.duration_ms][-DURATIONS_MAX:]
    return structs.replace(memory, failures_in_row=0, outcomes=outcomes, durations=durations)


def _judge_slow(
    factor: float, memory: Memory, duration_ms: int, begun: list[Raised], over: set[Incident]
) -> None:
    if len(memory.durations) < DURATIONS_MIN:
        return
    usual = p95(memory.durations)
    if duration_ms <= usual * factor:
        over |= memory.incidents & {"slow"}
    elif "slow" not in memory.incidents:
        detail = f"A run took {duration_ms} ms; 95 in 100 take no more than {usual} ms."
        begun.append(Raised("slow", detail, {"duration_ms": duration_ms, "p95_ms": usual}))
