"""What a new occurrence becomes where the job has unfinished runs.

Pure. A run that waits for its retry counts as running; so does one that is queued. What is caught
up stands behind on-time work: while it waits in line it does not count.
"""

from typing import Literal, assert_never
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.jobs import Overlap


class OpenRun(Struct, frozen=True):
    """An unfinished run of a job, as much of it as overlap needs."""

    id: UUID
    queued: bool
    behind: bool = False
    """It is caught up and waits in line: released only where no other run is unfinished."""


class Verdict(Struct, frozen=True):
    """Send it, queue it or skip it; and whom to cancel first."""

    then: Literal["send", "queue", "skip"]
    cancel: tuple[UUID, ...] = ()


def judge(policy: Overlap, open_runs: list[OpenRun]) -> Verdict:
    """Decide about one occurrence whose instant has come."""
    open_runs = contending(open_runs)
    if not open_runs or policy == "allow":
        return Verdict("send")
    match policy:
        case "skip":
            return Verdict("skip")
        case "queue":
            return Verdict("skip" if any(run.queued for run in open_runs) else "queue")
        case "cancel":
            return Verdict("send", cancel=tuple(run.id for run in open_runs))
        case _:
            assert_never(policy)


def contending(open_runs: list[OpenRun]) -> list[OpenRun]:
    """Leave out the runs that stand behind all others."""
    return [run for run in open_runs if not run.behind]
