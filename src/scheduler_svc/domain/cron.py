"""Cron expressions, compiled: `compile_cron` is the door to the dialect.

Promises that croniter is asked one thing only, which values a list item of one field names, and
that each such answer is kept. Everything around it is ours: the grammar before (`cron_grammar`),
`H`, the days (`cron_days`), the steps (`cron_pattern`) and the zones (`dst`) after.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import UUID

from croniter import croniter

from scheduler_svc.domain.cron_days import DayRule
from scheduler_svc.domain.cron_fields import (
    DAY,
    FIELDS,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    YEAR,
    Field,
)
from scheduler_svc.domain.cron_grammar import CronFault, Expression, Term, read
from scheduler_svc.domain.cron_pattern import Pattern

DIALECT: Final = "ocps-1.4+h/1"
"""Our reading of expressions; raise the last number when the meaning of any of them changes."""

_FEBRUARY_MAX: Final = 29
_ASKED: Final = {MINUTE: 0, HOUR: 1, DAY: 2, MONTH: 3, WEEKDAY: 4, SECOND: 5}
"""Where croniter keeps each field; it has no years beyond 2099, so those are ours."""


def compile_cron(text: str, job_id: UUID) -> Pattern:
    """Compile an expression; raise CronFault when it is refused. `H` draws from the job's id."""
    return _compiled(text, job_id if is_hashed(text) else None)


@lru_cache(maxsize=16_384)
def is_hashed(text: str) -> bool:
    """True when the job's id decides what an expression means; raise CronFault as reading does."""
    return _read(text).hashed


def draws(text: str, job_id: UUID) -> tuple[int, ...]:
    """Return what each `H` of an expression is for a job: equal ones name the same instants."""
    return tuple(_draw(field, term, job_id).low for field, term in _hashes(text))


@lru_cache(maxsize=1024)
def _hashes(text: str) -> tuple[tuple[Field, Term], ...]:
    """List the items of an expression that the job's id decides."""
    listed = zip(FIELDS, _read(text).parts, strict=True)
    return tuple((field, term) for field, part in listed for term in part.terms if _is_hash(term))


def _is_hash(term: Term) -> bool:
    return term.kind == "hash"


@lru_cache(maxsize=16_384)
def _read(text: str) -> Expression:
    return read(text)


@lru_cache(maxsize=16_384)
def _compiled(text: str, job_id: UUID | None) -> Pattern:
    return _compile(_read(text), job_id)


@lru_cache(maxsize=16_384)
def _compile(expression: Expression, job_id: UUID | None) -> Pattern:
    fixed = _resolve(expression, job_id)
    pattern = Pattern(
        clock=(_mask(fixed, HOUR), _mask(fixed, MINUTE), _mask(fixed, SECOND)),
        masks=_month_masks(_day_rule(fixed)),
        months=_mask(fixed, MONTH) >> 1,
        years=_mask(fixed, YEAR) >> YEAR.low,
        wildcard=expression.part(MINUTE).star or expression.part(HOUR).star,
        with_seconds=expression.with_seconds,
    )
    if pattern.next_from(0) is None:
        raise CronFault(_never(expression))
    return pattern


def _never(expression: Expression) -> str:
    """Say why an expression that is well formed names no instant at all."""
    days = [term.low for term in expression.part(DAY).terms if term.kind in {"range", "workday"}]
    if days and min(days) > _FEBRUARY_MAX:
        return (
            f"day-of-month and month fields: no such month has a day {min(days)}, so this never"
            " matches; write 'L' for the last day of the month"
        )
    return f"no day from {YEAR.low} to {YEAR.high} matches the day, month and year fields together"


def _resolve(expression: Expression, job_id: UUID | None) -> Expression:
    """Replace each `H` by the values that a job's id draws."""
    if job_id is None:
        return expression
    drawn = tuple(
        part._replace(terms=tuple(_draw(field, term, job_id) for term in part.terms))
        for field, part in zip(FIELDS, expression.parts, strict=True)
    )
    return expression._replace(parts=drawn)


def _draw(field: Field, term: Term, job_id: UUID) -> Term:
    """Draw one value, or with a step the first of them, evenly and always the same for a job."""
    if term.kind != "hash":
        return term
    span = term.high - term.low + 1
    drawn = int.from_bytes(sha256(job_id.bytes + field.name.encode()).digest()[:8])
    if term.step == 0:
        value = term.low + drawn % span
        return Term("range", value, value)
    first = term.low + drawn % min(term.step, span)
    return Term("range", first, term.high, term.step)


def _day_rule(expression: Expression) -> DayRule:
    """Gather both day fields into one rule."""
    day, weekday = expression.part(DAY), expression.part(WEEKDAY)
    kinds = {term.kind for term in day.terms}
    return DayRule(
        days=_mask(expression, DAY),
        last="last" in kinds,
        workday=next((term.low for term in day.terms if term.kind == "workday"), 0),
        last_workday="last_workday" in kinds,
        weekdays=_mask(expression, WEEKDAY),
        nths=frozenset((term.low, term.step) for term in weekday.terms if term.kind == "nth"),
        both=day.star or weekday.star or weekday.plus,
    )


@lru_cache(maxsize=4096)
def _month_masks(rule: DayRule) -> tuple[int, ...]:
    return rule.month_masks()


def _mask(expression: Expression, field: Field) -> int:
    """Return the values of a field's ranges as bits."""
    mask = 0
    for term in expression.part(field).terms:
        if term.kind == "range":
            mask |= _values(field, term)
    return mask


@lru_cache(maxsize=8192)
def _values(field: Field, term: Term) -> int:
    """Ask croniter which values one item names.

    A range of one value is put as that value: croniter reads `9-9` as the whole field.
    """
    if field is YEAR:
        return sum(1 << value for value in range(term.low, term.high + 1, term.step))
    item = f"{term.low}-{term.high}/{term.step}" if term.low < term.high else str(term.low)
    asked = ["0", "0", "1", "1", "*", "0"]
    asked[_ASKED[field]] = item
    named = croniter.expand(" ".join(asked))[0][_ASKED[field]]
    values = range(field.low, field.high + 1) if named == ["*"] else [int(v) for v in named]
    return sum(1 << value for value in set(values))
