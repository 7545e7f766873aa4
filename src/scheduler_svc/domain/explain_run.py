"""What a row of the ledger says of an instant, in a sentence.

Promises a sentence for every state of a run and every reason code, known or not.
"""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.deferral import Deferral, sentence
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.runs import RunStatus, Trigger
from scheduler_svc.domain.words import at_text, counted

WHY: Final = {
    "paused": "the job was paused",
    "held": "its namespace was held, and what it missed was to be skipped",
    "overlap": "another run of the job was unfinished, and its overlap policy said to skip",
    "misfire": "nobody could claim it in time, and the misfire policy does not catch it up",
    "too_late": "it was older than max_lateness when it could be claimed again",
    "merged": "it was missed, and a later occurrence stands for it",
    "excluded": "the schedule excludes it",
    "max_runs": "all runs that max_runs allows had been made",
    "quota": "its namespace had all the runs a minute that its quota allows until the next"
    " occurrence",
    "attempts": "every attempt that the retry policy allows failed",
    "next_occurrence": "its retries would have reached the next occurrence",
    "deadline": "its deadline had passed",
    "status": "the target answered with a status that is not retried",
    "no_retry": "the failure is not one that is retried",
    "gone": "the target answered 410, which also pauses the job",
    "blocked": "the target may not be called from here",
    "completion": "the target reported that it failed",
    "completion_timeout": "the target did not report its end in time",
    "cancelled": "it was cancelled on request",
    "job_deleted": "its job was deleted",
    "refused": "a replica that read what was asked for in SQL refused it (the audit log says why)",
}
"""Each reason code as a clause."""
HELD: Final = (
    "It waits: its namespace is held until somebody says what becomes of what was missed"
    " (POST /namespaces/{name}/release)."
)


class Entry(Struct, frozen=True, kw_only=True):
    """The part of a run that explaining needs; `until` is the end of a compact row."""

    id: UUID
    trigger: Trigger
    scheduled_for: datetime
    status: RunStatus
    reason: str | None
    occurrences: int
    until: datetime | None
    attempt_count: int
    queued: bool
    held: bool = False
    started_at: datetime | None
    finished_at: datetime | None
    lateness_ms: int | None
    next_attempt_at: datetime | None
    completion_until: datetime | None = None
    deferral: Deferral | None = None


class Told(Struct, frozen=True):
    """What a row says."""

    verdict: Literal["fired", "fires", "skipped"]
    reason: str
    detail: str


def told_by_ledger(entry: Entry, at_ms: int, *, now_ms: int) -> Told:
    """Read a row: skipped, still to come, or sent; and what it waited for, where it did."""
    told = _told(entry, at_ms, now_ms=now_ms)
    if entry.deferral is None:
        return told
    return Told(told.verdict, told.reason, f"{told.detail} {sentence(entry.deferral)}")


def _told(entry: Entry, at_ms: int, *, now_ms: int) -> Told:
    match entry.status:
        case "skipped":
            return Told("skipped", entry.reason or "skipped", _skipped(entry, at_ms))
        case "due":
            return _waiting(entry)
        case "running":
            return _running(entry, now_ms)
        case "cancelled" | "failed" if entry.started_at is None and not entry.attempt_count:
            detail = f"It was not sent: {_why(entry)}."
            return Told("skipped", entry.reason or entry.status, detail)
        case "cancelled" if entry.started_at is None:
            detail = f"It was not sent: {_why(entry)}."
            return Told("skipped", entry.reason or "cancelled", detail)
        case "succeeded" | "failed" | "cancelled":
            return Told("fired", entry.reason or entry.status, _ended(entry))


def _skipped(entry: Entry, at_ms: int) -> str:
    text = f"It was not sent: {_why(entry)}."
    if entry.until is None:
        return text
    first, last = at_text(epoch_ms(entry.scheduled_for)), at_text(epoch_ms(entry.until))
    return (
        f"{text} {at_text(at_ms)} is within one row of the ledger for"
        f" {counted(entry.occurrences, 'occurrence')}, {first} to {last}."
    )


def _waiting(entry: Entry) -> Told:
    """A run that waits: behind another one, for its retry, or for a free replica."""
    when = "" if entry.next_attempt_at is None else f" {at_text(epoch_ms(entry.next_attempt_at))}"
    if entry.held:
        return Told("fired" if entry.attempt_count else "fires", "namespace_held", HELD)
    if entry.attempt_count:
        tried = counted(entry.attempt_count, "attempt")
        return Told("fired", "retrying", f"It was sent, {tried} failed; the next is due at{when}.")
    if entry.queued:
        return Told("fires", "queued", "It waits until an earlier run of the job has ended.")
    if entry.deferral is not None and entry.deferral.until is None:
        return Told("fires", "deferred", f"It was due{when} and is not sent yet.")
    return Told("fires", "due", f"It waits for a replica, due since{when}.")


def _running(entry: Entry, now_ms: int) -> Told:
    if entry.completion_until is not None:
        until = at_text(epoch_ms(entry.completion_until))
        detail = f"It was sent{_late(entry)}; its target took it and has until {until} to report."
        return Told("fired", "awaiting", detail)
    held = entry.next_attempt_at is not None and epoch_ms(entry.next_attempt_at) > now_ms
    if held and entry.next_attempt_at is not None:
        sent = at_text(epoch_ms(entry.next_attempt_at))
        return Told("fires", "held", f"A replica holds it and sends it at {sent}.")
    return Told("fired", "running", f"It is running{_late(entry)}, attempt {entry.attempt_count}.")


def _ended(entry: Entry) -> str:
    how = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}
    text = f"It was sent{_trigger(entry)}{_late(entry)} and {how[entry.status]}"
    text += f" after {counted(entry.attempt_count, 'attempt')}"
    return f"{text}: {_why(entry)}." if entry.reason else f"{text}."


def _trigger(entry: Entry) -> str:
    return {
        "schedule": "",
        "catch_up": " as catch-up",
        "manual": " by a manual trigger, beside the schedule",
        "backfill": " by a backfill",
        "replay": " by a replay",
        "alert": " as an alert",
    }[entry.trigger]


def _late(entry: Entry) -> str:
    return "" if entry.lateness_ms is None else f" {entry.lateness_ms} ms late"


def _why(entry: Entry) -> str:
    code = entry.reason or "no reason was noted"
    return WHY.get(code, code)
