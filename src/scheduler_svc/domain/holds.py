"""Whether the database is the one that was there before, and what is missed in a held namespace.

A database that was restored from a backup believes that what happened since has not happened. Pure:
what the database and the replica remember goes in, and whether to hold everything comes out.
"""

from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

from msgspec import Struct, structs

from scheduler_svc.domain.decide import Decision, NewRun, PlannedJob
from scheduler_svc.domain.duration import milliseconds, text_of
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Misfire

Reason = Literal["restored", "outage"]
Missed = Literal["release", "skip", "once"]

JUMP_MS: Final = 60_000
"""A database may have lost so much, at a change-over to a standby that was behind: what was sent in
it may be sent again, as after any crash. More than that is a restore."""
LINE_MS: Final = 3_600_000
"""A change-over to a standby begins a new timeline too; one that takes longer looks like a restore
to a replica that was not there."""
FORGOTTEN_MS: Final = 3_000_000
"""The others forget a replica that is silent for longer: that its row is gone then says nothing."""
NO_LIMIT: Final = "36500d"
HELD: Final = "held"
PER_MINUTE: Final = 600
"""So many catch-ups a minute of a namespace, where nothing else is asked for."""


class Identity(Struct, frozen=True):
    """Which database this is: a copy differs in `place`, a restored or promoted one in `line`."""

    place: str | None
    line: int | None


class Memory(Struct, frozen=True, kw_only=True):
    """What a living replica knows itself: when it wrote its last heartbeat, and how long ago."""

    started_ms: int
    wrote_ms: int
    silent_ms: int


class Evidence(Struct, frozen=True, kw_only=True):
    """What the database says: when a replica was last alive, and this one's own heartbeat."""

    now_ms: int
    alive_ms: int | None
    mine_ms: int | None
    then: Identity | None = None
    now: Identity | None = None
    """Which database it was and is; None where it was not asked, for the replica never left it."""


class Hold(Struct, frozen=True, kw_only=True):
    """A namespace that does not fire; `missed` and `decided_at` once somebody said what to do."""

    namespace: str
    reason: Reason
    since: datetime
    alive_at: datetime | None
    missed: Missed | None = None
    decided_at: datetime | None = None
    window_ms: int = 0


def reason_to_hold(seen: Evidence, memory: Memory | None, *, limit_ms: int) -> Reason | None:
    """Tell why nothing may fire until somebody was asked; None where all is as it was."""
    if limit_ms == 0 or seen.alive_ms is None:
        return None
    gap_ms = seen.now_ms - seen.alive_ms
    if memory is not None and _jumped(seen, memory, seen.alive_ms):
        return "restored"
    if seen.then is not None and seen.now is not None:
        if _differ(seen.then.place, seen.now.place) and gap_ms >= JUMP_MS:
            return "restored"
        if _differ(seen.then.line, seen.now.line) and gap_ms >= LINE_MS:
            return "restored"
    return "outage" if gap_ms > limit_ms else None


def _jumped(seen: Evidence, memory: Memory, alive_ms: int) -> bool:
    """Tell whether the database has forgotten what this replica wrote."""
    forgotten = seen.mine_ms is None
    if forgotten and memory.silent_ms >= FORGOTTEN_MS:
        return False
    mine_ms = memory.started_ms if seen.mine_ms is None else seen.mine_ms
    return memory.wrote_ms - min(mine_ms, alive_ms) >= JUMP_MS


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


def under_hold(job: PlannedJob, hold: Hold, *, now_ms: int) -> PlannedJob:
    """Return the job with the misfire policy that somebody chose for what was held of it.

    All up to the decision counts as missed; what came due since is judged by the job's own grace.
    """
    if hold.decided_at is None or hold.missed not in {"skip", "once"}:
        return job
    rule = job.definition.misfire
    grace_ms = min(milliseconds(rule.grace), max(0, now_ms - epoch_ms(hold.decided_at) - 1))
    policy: Literal["skip", "once"] = "skip" if hold.missed == "skip" else "once"
    chosen = Misfire(
        policy=policy,
        grace=text_of(grace_ms),
        max_lateness=NO_LIMIT if policy == "once" else None,
    )
    definition = structs.replace(job.definition, misfire=chosen)
    return structs.replace(job, definition=definition, grace_ms=None)


def after_hold(decision: Decision, hold: Hold) -> Decision:
    """Name what was skipped by the hold, and spread what is caught up over its window."""
    runs = [_after_hold(run, decision.job, hold) for run in decision.runs]
    return structs.replace(decision, runs=runs)


def _after_hold(run: NewRun, job: PlannedJob, hold: Hold) -> NewRun:
    if hold.missed == "skip" and run.reason == "misfire":
        return structs.replace(run, reason=HELD)
    if hold.missed == "once" and run.trigger == "catch_up" and run.status == "due":
        return structs.replace(run, fire_ms=max(run.fire_ms, turn_ms(job, hold)))
    return run


def turn_ms(job: PlannedJob, hold: Hold) -> int:
    """Return when a job's turn is within the window, evenly and the same for all who ask."""
    begin_ms = 0 if hold.decided_at is None else epoch_ms(hold.decided_at)
    share = int.from_bytes(sha256(job.id.bytes).digest()[:4], "big") / 2**32
    return begin_ms + int(share * hold.window_ms)


def window_ms(count: int, per_minute: int) -> int:
    """Return over how long so many catch-ups are spread."""
    return count * 60_000 // per_minute
