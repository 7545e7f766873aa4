"""How much a namespace may have: its quotas, those in force, and how requests are judged by them.

A quota that a namespace does not set is the operator's default, and without one there is none.
Pure: who counts jobs and runs, and under which lock, is the business of others.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, structs

from scheduler_svc.domain.duration import DurationText, milliseconds, normal, text_of
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.jobs import NO_BODY, Target
from scheduler_svc.domain.occurrences import (
    SearchTooLong,
    Timetable,
    compile_schedule,
    next_after,
    previous_before_or_at,
)
from scheduler_svc.domain.schedule import Schedule

CODE: Final = "quota_exceeded"
COUNT_MAX: Final = 10_000_000
LOOKS_MAX: Final = 400
LOOKS_ALL_MAX: Final = 4000
"""Occurrences of a cron expression that are looked at for a gap; fewer where there are many
expressions, for each look asks all of them: so many together."""
SPAN_MS: Final = 2 * 366 * 86_400_000
"""And so far from the first of them."""

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Rate = Annotated[int, Meta(ge=1, le=COUNT_MAX)]


class Quotas(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one namespace; null is the operator's default."""

    jobs_max: Count | None = None
    min_interval: DurationText | None = None
    runs_per_minute: Rate | None = None
    body_max: Count | None = None
    backfill_max: Count | None = None

    @property
    def min_interval_ms(self) -> int:
        """Return the shortest gap between two occurrences of a job."""
        return 0 if self.min_interval is None else milliseconds(self.min_interval)


class _Known(Quotas, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Stored quotas, of which a newer build may keep more."""


class _Stored(Struct, frozen=True):
    quotas: _Known = _Known()


NO_QUOTAS: Final = Quotas()
_STORED = msgspec.json.Decoder(_Stored)


def quotas_of(settings: str | None, default: Quotas) -> Quotas:
    """Return what is in force: the stored settings' quotas, with defaults where they say nothing.

    Settings that can not be read leave the defaults.
    """
    if settings is None:
        return default
    try:
        stored = _STORED.decode(settings).quotas
    except ValueError:  # msgspec's too
        return default
    own = {name: getattr(stored, name) for name in Quotas.__struct_fields__}
    return structs.replace(
        default, **{name: value for name, value in own.items() if value is not None}
    )


def normal_form(quotas: Quotas) -> Quotas:
    """Write durations as they are stored and shown."""
    if quotas.min_interval is None:
        return quotas
    return structs.replace(quotas, min_interval=normal(quotas.min_interval))


def body_faults(quotas: Quotas, target: Target) -> Iterator[Fault]:
    """Judge the length of the body that a target gets; pointers are relative to the target."""
    yield from body_fault(quotas, sent_size(target.body), "/body")
    if target.body_base64 is not UNSET and bytes(target.body) == bytes(NO_BODY):
        yield from body_fault(quotas, len(target.body_base64) * 3 // 4, "/body_base64")


def sent_size(body: Raw) -> int:
    """Return how many bytes a JSON body is sent as: null sends none."""
    return 0 if bytes(body) == bytes(NO_BODY) else len(bytes(body))


def body_fault(quotas: Quotas, size: int, pointer: str) -> Iterator[Fault]:
    """Judge the length of one body in bytes."""
    if quotas.body_max is not None and size > quotas.body_max:
        detail = (
            f"is {size} bytes long; the namespace's quota is {quotas.body_max} (body_max):"
            " send less, or where to fetch it"
        )
        yield Fault(pointer, detail, CODE)


def extent_faults(quotas: Quotas, count: int, pointer: str) -> Iterator[Fault]:
    """Judge how many runs a backfill or a replay by filter would hold."""
    if quotas.backfill_max is not None and count > quotas.backfill_max:
        detail = (
            f"holds {count} runs; the namespace's quota is {quotas.backfill_max} (backfill_max):"
            " ask for a part, and for the rest when it has ended"
        )
        yield Fault(pointer, detail, CODE)


def interval_faults(
    quotas: Quotas, schedule: Schedule, *, job_id: UUID, now_ms: int
) -> Iterator[Fault]:
    """Judge the shortest gap of a schedule in normal form; pointers are relative to it."""
    least_ms = quotas.min_interval_ms
    found = None if least_ms == 0 else _short_gap(schedule, least_ms, job_id, now_ms)
    if found is None:
        return
    gap_ms, kind = found
    detail = (
        f"fires {text_of(gap_ms)} after the occurrence before it; the namespace's quota is"
        f" {quotas.min_interval} (min_interval): leave at least so much between any two"
    )
    yield Fault(f"/{kind}", detail, CODE)


def _short_gap(
    schedule: Schedule, least_ms: int, job_id: UUID, now_ms: int
) -> tuple[int, str] | None:
    """Find a gap that is too short: exactly for `every` and `at`, by looking for `cron`."""
    if schedule.every is not UNSET:
        period = milliseconds(schedule.every)
        return (period, "every") if period < least_ms else None
    if schedule.at is not UNSET:
        listed = schedule.at if isinstance(schedule.at, list) else [schedule.at]
        instants = sorted({epoch_ms(one) for one in listed})
        gap = _first_short(instants, least_ms)
        return None if gap is None else (gap, "at")
    gap = _short_gap_of_cron(schedule, least_ms, job_id, now_ms)
    return None if gap is None else (gap, "cron")


def _short_gap_of_cron(schedule: Schedule, least_ms: int, job_id: UUID, now_ms: int) -> int | None:
    """Walk each expression by itself, and look at what stands around each of its occurrences.

    So a rare expression meets a frequent one where they meet, however far off that is. By the wall
    clock: what a change of clocks pushes together once a year is not the schedule's fault.
    """
    made = instant_at(now_ms)
    level = structs.replace(schedule, timezone="UTC")
    texts = schedule.cron if isinstance(schedule.cron, list) else [schedule.cron]
    looks = max(2, min(LOOKS_MAX, LOOKS_ALL_MAX // len(texts) ** 2))
    try:
        whole = compile_schedule(level, job_id=job_id, created_at=made)
        for text in texts:
            alone = whole
            if len(texts) > 1:
                alone = compile_schedule(
                    structs.replace(level, cron=text), job_id=job_id, created_at=made
                )
            gap = _short_gap_around(whole, alone, least_ms, now_ms, looks)
            if gap is not None:
                return gap
    except SearchTooLong:
        return None
    return None


def _short_gap_around(
    whole: Timetable, alone: Timetable, least_ms: int, now_ms: int, looks: int
) -> int | None:
    at = next_after(alone, now_ms)
    until = None if at is None else at + SPAN_MS
    while at is not None and until is not None and at <= until and looks > 0:
        around = [at]
        if (after := next_after(whole, at)) is not None:
            around.append(after)
        if alone is not whole and (before := previous_before_or_at(whole, at - 1)) is not None:
            around.insert(0, before)
        if (gap := _first_short(around, least_ms)) is not None:
            return gap
        at = after if alone is whole else next_after(alone, at)
        looks -= 1
    return None


def _first_short(instants: Sequence[int], least_ms: int) -> int | None:
    gaps = (later - earlier for earlier, later in pairwise(instants))
    return next((gap for gap in gaps if gap < least_ms), None)
