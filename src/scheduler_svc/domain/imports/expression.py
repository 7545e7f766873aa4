"""A whole foreign expression as one of ours, with what had to change and what it meant.

Promises the same set of wall-clock times, or Unfit. Which instants these are on the two nights a
year is the business of `nights`.
"""

from uuid import UUID

from scheduler_svc.domain.cron import compile_cron
from scheduler_svc.domain.cron_days import MONTHS
from scheduler_svc.domain.cron_grammar import CronFault
from scheduler_svc.domain.cron_pattern import Pattern
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.fields import Part, read_part
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import Grammar
from scheduler_svc.domain.imports.render import render
from scheduler_svc.domain.imports.shape import shown

ANY_JOB = UUID(int=0)
_LENGTH_MAX = 1000
_KINDS_IN = 28 * 12
"""Months in which every kind of month comes, leap years too."""
_OURS = ("second", "minute", "hour", "day", "month", "weekday", "year")
_ZERO = frozenset({0})


def convert(draft: Draft, grammar: Grammar, text: str) -> str:
    """Return our expression for a text of a system, and say on the draft what is to be known."""
    if len(text) > _LENGTH_MAX:
        raise Unfit("syntax", f"the expression has {len(text)} characters")
    if text.startswith("@"):
        text = _nickname(grammar, text)
    texts = text.split()
    if len(texts) != len(grammar.fields):
        raise Unfit(
            "syntax",
            f"'{shown(text)}' has {len(texts)} fields; {grammar.system} takes"
            f" {len(grammar.fields)}",
        )
    return convert_fields(draft, grammar, texts)


def convert_fields(draft: Draft, grammar: Grammar, texts: list[str]) -> str:
    """Return our expression for the texts of a system's fields, in its order."""
    parts = read_parts(grammar, texts)
    _judge_days(grammar, parts)
    made = _compose(grammar, parts)
    shortest = _as_written(grammar, parts, made)
    _tell(draft, grammar, parts, made, shortest)
    return _joined(shortest)


def read_parts(grammar: Grammar, texts: list[str]) -> dict[str, Part]:
    """Return the fields of an expression by their names."""
    listed = zip(grammar.fields, texts, strict=True)
    return {field.name: read_part(grammar, field, text) for field, text in listed}


def _nickname(grammar: Grammar, text: str) -> str:
    found = grammar.nicknames.get(text)
    if found is None:
        raise Unfit("syntax", f"'{shown(text)}': {grammar.system} has no such nickname")
    return found


def _judge_days(grammar: Grammar, parts: dict[str, Part]) -> None:
    if grammar.days == "question" and "?" not in {parts["day"].text, parts["weekday"].text}:
        raise Unfit(
            "day_rule", f"one of both day fields must be '?'; {grammar.system} refuses it otherwise"
        )
    if parts["day"].nths and not parts["weekday"].full:
        raise Unfit("day_rule", "a position like '2nd fri' beside a day of week has no equal here")


def needs_both(grammar: Grammar, parts: dict[str, Part]) -> bool:
    """Tell whether a day must match both fields there, rather than either."""
    if grammar.days == "both":
        return not parts["day"].nths
    return grammar.days == "question" or parts["day"].star or parts["weekday"].star


def _compose(grammar: Grammar, parts: dict[str, Part]) -> dict[str, str]:
    """Write each field of ours from the sets."""
    both = needs_both(grammar, parts)
    made = {name: render(part) for name, part in parts.items()}
    day, weekday = parts["day"], parts["weekday"]
    if day.nths:
        made["weekday"] = ",".join(day.nths)
        only = not day.values and not day.specials
        made["day"] = "*" if only else render(day, star=False)
    elif both:
        made["weekday"] = _weekday_of_both(made)
    else:
        made["day"] = render(day, star=False)
        made["weekday"] = render(weekday, star=False)
    return made


def _weekday_of_both(made: dict[str, str]) -> str:
    text = made["weekday"]
    if text.startswith("*") or made["day"].startswith("*"):
        return text
    return f"+{text}"


def _as_written(grammar: Grammar, parts: dict[str, Part], made: dict[str, str]) -> dict[str, str]:
    """Keep each field as it was written where it means the same here."""
    wanted = _compiled(made)
    kept = dict(made)
    for name, part in parts.items():
        text = part.text.replace("?", "*")
        if text == kept[name] or (name == "weekday" and part.field.sunday and text[:1].isdigit()):
            continue
        tried = {**kept, name: text}
        try:
            found = _compiled(tried)
        except CronFault:
            continue
        if _equal(found, wanted) and (
            grammar.days != "star_begins" or found.wildcard == _wild(parts)
        ):
            kept = tried
    return kept


def _wild(parts: dict[str, Part]) -> bool:
    return parts["minute"].text.startswith("*") or parts["hour"].text.startswith("*")


def _compiled(made: dict[str, str]) -> Pattern:
    try:
        return compile_cron(_joined(made), ANY_JOB)
    except CronFault as fault:
        if "never matches" in str(fault) or "matches the day" in str(fault):
            raise Unfit("syntax", f"it never occurs: {fault}") from None
        raise


def _equal(one: Pattern, other: Pattern) -> bool:
    clock = (one.hours, one.minutes, one.seconds, one.months, one.years)
    if clock != (other.hours, other.minutes, other.seconds, other.months, other.years):
        return False
    months = range(MONTHS) if ~one.years & ((1 << MONTHS // 12) - 1) else range(_KINDS_IN)
    return all(one.days_in(index) == other.days_in(index) for index in months)


def _joined(made: dict[str, str]) -> str:
    """Put our fields in our order, those that say nothing left out."""
    year, second = made.get("year", "*"), made.get("second", "0")
    names = [*_OURS] if year != "*" else [*_OURS[:6]] if second != "0" else [*_OURS[1:6]]
    return " ".join({"second": second, "year": year, **made}[name] for name in names)


def _tell(
    draft: Draft,
    grammar: Grammar,
    parts: dict[str, Part],
    made: dict[str, str],
    kept: dict[str, str],
) -> None:
    system, day, weekday = grammar.system, parts["day"], parts["weekday"]
    if day.nths or (not day.full and not weekday.full) or _odd_days(grammar, parts):
        rule = "both day fields must match" if needs_both(grammar, parts) else "either day matches"
        draft.same("day_rule", f"{rule}, as in {system}: written as '{_days(kept)}'")
    if weekday.field.sunday and weekday.values and not weekday.full:
        first = "1 is Sunday" if weekday.field.sunday == 1 else "0 is Monday"
        draft.same(
            "weekday_numbers", f"{first} in {system}: '{weekday.text}' is '{made['weekday']}' here"
        )
    if "second" in parts and parts["second"].values != _ZERO:
        draft.same("resolution", f"seconds stand first here: '{kept['second']}'")
    if "year" in parts and not parts["year"].star:
        draft.same("year", f"the year stands last here: '{kept['year']}'")
    drawn = [name for name, part in parts.items() if part.drawn]
    if drawn:
        draft.differs(
            "random",
            f"the {' and '.join(drawn)} is drawn anew whenever cron reads the table; here once"
            " and for all, from the job's id",
        )


def _odd_days(grammar: Grammar, parts: dict[str, Part]) -> bool:
    """Tell whether a day field is written in full and yet counts as restricted."""
    return grammar.days != "question" and any(
        parts[name].full and not parts[name].text.startswith(("*", "?"))
        for name in ("day", "weekday")
    )


def _days(made: dict[str, str]) -> str:
    return f"{made['day']} {made['month']} {made['weekday']}"
