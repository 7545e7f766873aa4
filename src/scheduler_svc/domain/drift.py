"""Drift: instants that move because a library or the zone data reads a schedule differently.

Promises to say so before it bites: each job keeps its next instants and the versions that computed
them, and the same question to other versions either gives the same answer or names the job.
"""

from functools import cache
from importlib.metadata import version
from typing import Final
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.cadence import CronCadence
from scheduler_svc.domain.cron import DIALECT
from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.occurrences import take
from scheduler_svc.domain.words import at_text
from scheduler_svc.domain.zones import tzdata_version

KEPT: Final = 3
"""How many coming instants a job keeps."""
REFRESH_MS: Final = 3_600_000
"""Expectations live at least so long, however often their job fires."""


class Expectation(Struct, frozen=True):
    """The coming instants of a job as some versions computed them, in epoch milliseconds."""

    job_id: UUID
    instants: list[int]
    refresh_ms: int | None


class Moved(Struct, frozen=True):
    """A job whose next instants are others than they were expected to be."""

    job_id: UUID
    before_ms: int
    after_ms: int | None


class DriftRefused(Exception):
    """More jobs would move than is allowed without being told; the text says how many, and one."""

    def __init__(self, moved: list[Moved], others: list[str], most: int) -> None:
        one = moved[0]
        after = "never" if one.after_ms is None else at_text(one.after_ms)
        super().__init__(
            f"{len(moved)} job(s) would move, at most {most} may: their next instants were computed"
            f" by {' and '.join(others)}, this is {versions()}. Job {one.job_id}, for one, would go"
            f" from {at_text(one.before_ms)} to {after}."
            " Look at them, then start with --accept-drift"
        )


@cache
def versions() -> str:
    """Name all that decides what a schedule means."""
    return f"croniter {version('croniter')}, tzdata {tzdata_version()}, {DIALECT}"


def expect(job: PlannedJob, now_ms: int) -> Expectation:
    """Compute the next instants of a job; what no version can move is never refreshed."""
    instants = take(job.timetable, now_ms, KEPT)
    if not instants or not isinstance(job.timetable.cadence, CronCadence):
        return Expectation(job.id, instants, None)
    return Expectation(job.id, instants, max(instants[-1], now_ms + REFRESH_MS))


def moved(job: PlannedJob, expected: list[int], now_ms: int) -> Moved | None:
    """Compare what was expected with what is named now; None where nothing moves.

    Instants that have passed are judged only where none is still to come.
    """
    coming = [at for at in expected if at > now_ms] or expected
    if not coming:
        return None
    since = now_ms if coming[0] > now_ms else coming[0] - 1
    named = take(job.timetable, since, len(coming))
    if named == coming:
        return None
    pairs = zip(coming, [*named, *[None] * len(coming)], strict=False)
    before, after = next((pair for pair in pairs if pair[0] != pair[1]), (coming[0], None))
    return Moved(job.id, before, after)
