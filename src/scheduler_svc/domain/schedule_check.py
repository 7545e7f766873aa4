"""Judging a schedule: every fault at once, and the normal form of what is good.

Promises that a schedule without faults compiles and has an occurrence. Shape and types have been
judged before, by decoding; `now` is an argument.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from scheduler_svc.domain.cron import compile_cron
from scheduler_svc.domain.cron_grammar import CronFault
from scheduler_svc.domain.duration import milliseconds, normal
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import (
    HORIZON,
    SearchTooLong,
    Timetable,
    compile_schedule,
    next_after,
    previous_before_or_at,
    take,
)
from scheduler_svc.domain.schedule import LIST_MAX, Schedule, Window
from scheduler_svc.domain.zones import zone_fault

EVERY_MIN_MS: Final = 1000
_GAPS_LOOKED_AT: Final = 400
_KINDS: Final = "one of 'cron', 'every' and 'at'"


def check(
    schedule: Schedule,
    *,
    now: datetime,
    job_id: UUID,
    known_at: frozenset[datetime] = frozenset(),
) -> tuple[Schedule, list[Fault]]:
    """Return the schedule in normal form, and all that is wrong with it.

    Pointers are relative to the schedule. Instants of `at` in `known_at` are stored already and
    are not judged for being past. With faults, the form returned is the one given.
    """
    faults = [
        *_kind_faults(schedule),
        *_cron_faults(schedule, job_id),
        *_every_faults(schedule),
        *_at_faults(schedule, now, known_at),
        *_bound_faults(schedule),
        *_exclude_faults(schedule, job_id),
    ]
    if faults:
        return schedule, faults
    good = _normal(schedule)
    faults = list(_compiled_faults(good, now, job_id))
    return (schedule, faults) if faults else (good, [])


def _kind_faults(schedule: Schedule) -> Iterator[Fault]:
    given = [kind for kind in ("cron", "every", "at") if getattr(schedule, kind) is not UNSET]
    if not given:
        yield Fault("", f"a schedule needs {_KINDS}")
    elif len(given) > 1:
        named = " and ".join(f"'{kind}'" for kind in given)
        yield Fault("", f"a schedule takes exactly {_KINDS}; here are {named}")
    if schedule.anchor is not UNSET and schedule.every is UNSET:
        yield Fault("/anchor", "'anchor' belongs to 'every'; remove it")
    if schedule.if_past is not UNSET and schedule.at is UNSET:
        yield Fault("/if_past", "'if_past' belongs to 'at'; remove it")


def _cron_faults(schedule: Schedule, job_id: UUID) -> Iterator[Fault]:
    if schedule.cron is UNSET:
        return
    if isinstance(schedule.cron, str):
        yield from _expression_faults("/cron", schedule.cron, job_id)
        return
    yield from _length_faults("/cron", schedule.cron, least=1)
    for index, text in enumerate(schedule.cron[:LIST_MAX]):
        yield from _expression_faults(f"/cron/{index}", text, job_id)


def _expression_faults(pointer: str, text: str, job_id: UUID) -> Iterator[Fault]:
    try:
        compile_cron(text, job_id)
    except CronFault as fault:
        yield Fault(pointer, str(fault))


def _every_faults(schedule: Schedule) -> Iterator[Fault]:
    if schedule.every is not UNSET:
        yield from _duration_faults("/every", schedule.every, EVERY_MIN_MS)
    if schedule.anchor is not UNSET:
        yield from _instant_faults("/anchor", schedule.anchor)
    yield from _duration_faults("/spread", schedule.spread, 0)


def _duration_faults(pointer: str, text: str, least_ms: int) -> Iterator[Fault]:
    try:
        if milliseconds(text) < least_ms:
            yield Fault(pointer, f"'{text}' is too short; at least '{least_ms // 1000}s'")
    except ValueError as fault:
        yield Fault(pointer, str(fault))


def _at_faults(schedule: Schedule, now: datetime, known_at: frozenset[datetime]) -> Iterator[Fault]:
    if schedule.at is UNSET:
        return
    listed = schedule.at if isinstance(schedule.at, list) else [schedule.at]
    yield from _length_faults("/at", listed, least=1)
    known = {epoch_ms(instant) for instant in known_at}
    reject = schedule.if_past in {UNSET, "reject"}
    for index, instant in enumerate(listed[:LIST_MAX]):
        pointer = f"/at/{index}" if isinstance(schedule.at, list) else "/at"
        at = epoch_ms(instant)
        if not 0 <= at < HORIZON:
            yield Fault(pointer, "the instant lies outside the years 1970 to 2199")
        elif reject and instant <= now and at not in known:
            yield Fault(
                pointer,
                f"{_shown(at)} is in the past; name a later instant, or set 'if_past' to"
                " 'run' or 'skip'",
            )


def _bound_faults(schedule: Schedule) -> Iterator[Fault]:
    wrong = zone_fault(schedule.timezone)
    if wrong:
        yield Fault("/timezone", wrong)
    for pointer, bound in (("/start", schedule.start), ("/end", schedule.end)):
        if bound is not None:
            yield from _instant_faults(pointer, bound)
    if schedule.start and schedule.end and schedule.end <= schedule.start:
        yield Fault("/end", "'end' must be later than 'start'")


def _exclude_faults(schedule: Schedule, job_id: UUID) -> Iterator[Fault]:
    yield from _length_faults("/exclude", schedule.exclude, least=0)
    for index, entry in enumerate(schedule.exclude[:LIST_MAX]):
        pointer = f"/exclude/{index}"
        if isinstance(entry, str):
            yield from _expression_faults(pointer, entry, job_id)
            continue
        yield from _instant_faults(f"{pointer}/from", entry.from_)
        yield from _instant_faults(f"{pointer}/to", entry.to)
        if entry.to <= entry.from_:
            yield Fault(f"{pointer}/to", "'to' must be later than 'from'")


def _length_faults(pointer: str, listed: Sequence[object], *, least: int) -> Iterator[Fault]:
    if len(listed) < least:
        yield Fault(pointer, "the list is empty")
    if len(listed) > LIST_MAX:
        yield Fault(pointer, f"the list has {len(listed)} entries; at most {LIST_MAX}")


def _instant_faults(pointer: str, instant: datetime) -> Iterator[Fault]:
    try:
        instant.astimezone(UTC)
    except OverflowError:
        yield Fault(pointer, "the instant lies outside the years 1 to 9999 in UTC")


def _compiled_faults(schedule: Schedule, now: datetime, job_id: UUID) -> Iterator[Fault]:
    """Judge what only the compiled form shows: that it occurs at all, and what spread may be."""
    timetable = compile_schedule(schedule, job_id=job_id, created_at=now)
    instant = epoch_ms(now)
    try:
        if next_after(timetable, instant) is None and not _ever(timetable, instant):
            yield Fault("", "nothing is left to occur: see 'start', 'end', 'exclude', 'timezone'")
        yield from _spread_faults(schedule, timetable, instant)
    except SearchTooLong as fault:
        yield Fault("/exclude", str(fault))


def _ever(timetable: Timetable, instant: int) -> bool:
    return previous_before_or_at(timetable, instant) is not None


def _spread_faults(schedule: Schedule, timetable: Timetable, instant: int) -> Iterator[Fault]:
    width = milliseconds(schedule.spread)
    if width == 0:
        return
    coming = take(timetable, instant, _GAPS_LOOKED_AT)
    shortest = min((later - earlier for earlier, later in pairwise(coming)), default=width + 1)
    if width >= shortest:
        yield Fault(
            "/spread",
            f"'{schedule.spread}' reaches the next occurrence, which may come {shortest // 1000}s"
            " later; make it shorter",
        )


def _normal(schedule: Schedule) -> Schedule:
    """Put durations in normal form and instants in UTC, cut to milliseconds."""
    changes: dict[str, object] = {
        "spread": normal(schedule.spread),
        "start": None if schedule.start is None else _cut(schedule.start),
        "end": None if schedule.end is None else _cut(schedule.end),
        "exclude": [
            entry if isinstance(entry, str) else Window(from_=_cut(entry.from_), to=_cut(entry.to))
            for entry in schedule.exclude
        ],
    }
    if schedule.every is not UNSET:
        changes["every"] = normal(schedule.every)
    if schedule.anchor is not UNSET:
        changes["anchor"] = _cut(schedule.anchor)
    if schedule.at is not UNSET:
        at = schedule.at
        changes["at"] = [_cut(one) for one in at] if isinstance(at, list) else _cut(at)
        changes["if_past"] = "reject" if schedule.if_past is UNSET else schedule.if_past
    return msgspec.structs.replace(schedule, **changes)


def _cut(instant: datetime) -> datetime:
    return instant_at(epoch_ms(instant))


def _shown(at: int) -> str:
    return f"{instant_at(at):%Y-%m-%dT%H:%M:%SZ}"
