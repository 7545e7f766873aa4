"""Templates: `{{run.id}}` and its like in texts of a target, parsed once and rendered per attempt.

    {{job.name}}                            a value, by its name
    {{run.scheduled_for | date "%d" "UTC"}}  the only filter; the zone may be left out
    {{secret:token}}                        a named secret, where secrets are allowed
    {{'{{'}}                                the text between the quotes, as it is

Promises that nothing else has a meaning: no logic, no nesting, no value that is not listed here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.words import at_text
from scheduler_svc.domain.zones import zone_fault, zone_info

OPEN = "{{"
NAMES = ("run.id", "run.scheduled_for", "run.attempt", "run.trigger", "job.id", "job.name")
LABEL, SECRET = "job.labels.", "secret:"
LISTED = ", ".join((*NAMES, f"{LABEL}KEY", f"{SECRET}NAME"))
DIRECTIVES = "YymdHMSfjGVuzs%"
SHOWN_MAX = 64
_EXPRESSION = re.compile(
    r"""\{\{\s*(?:
        (?P<quote>['"])(?P<text>[^'"]*)(?P=quote)
      | (?P<name>[A-Za-z][^\s|{}'"]*)
        (?:\s*\|\s*(?P<filter>[A-Za-z_]+)(?P<given>(?:\s+(?:'[^']*'|"[^"]*"))*))?
    )\s*\}\}""",
    re.VERBOSE,
)
_GIVEN = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)


class TemplateRefused(ValueError):
    """The text is no template that we render; `reason` says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SecretGone(Exception):
    """A named secret that a template asks for is not there, or not any more."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Slot(Struct, frozen=True):
    """A place in a template that an attempt fills; `date` and `zone` of instants alone."""

    name: str
    date: str | None = None
    zone: str | None = None

    @property
    def label(self) -> str | None:
        """Return the key of the label that goes here, None where none does."""
        return self.name.removeprefix(LABEL) if self.name.startswith(LABEL) else None

    @property
    def secret(self) -> str | None:
        """Return the name of the secret that goes here, None where none does."""
        return self.name.removeprefix(SECRET) if self.name.startswith(SECRET) else None


Template = tuple[str | Slot, ...]


class Facts(Struct, frozen=True, kw_only=True):
    """What one attempt knows of itself."""

    run_id: UUID
    scheduled_ms: int
    attempt: int
    trigger: str
    job_id: UUID
    job_name: str | None
    labels: Mapping[str, str]


def parse(text: str, *, secrets: bool) -> Template:
    """Take a text apart; raise TemplateRefused. `secrets`: whether one may stand in this text."""
    parts: list[str | Slot] = []
    at = 0
    while (begin := text.find(OPEN, at)) >= 0:
        found = _EXPRESSION.match(text, begin)
        if found is None:
            raise TemplateRefused(
                "holds '{{' that begins no template; templates are like {{run.id}} or"
                """ {{run.scheduled_for | date "%Y-%m-%d"}}, and a literal '{{' is {{'{{'}}"""
            )
        parts.append(text[at:begin])
        parts.append(_slot(found, secrets=secrets) if found["quote"] is None else found["text"])
        at = found.end()
    parts.append(text[at:])
    return _joined(parts)


def slots(template: Iterable[str | Slot]) -> Iterator[Slot]:
    """Yield what an attempt fills."""
    return (part for part in template if isinstance(part, Slot))


def value_of(slot: Slot, facts: Facts, secrets: Mapping[str, str]) -> str:
    """Return what goes into a slot, not escaped; raise SecretGone."""
    if (label := slot.label) is not None:
        return facts.labels.get(label, "")
    if (secret := slot.secret) is not None:
        if secret not in secrets:
            raise SecretGone(secret)
        return secrets[secret]
    if slot.name == "run.scheduled_for":
        return _instant(slot, facts.scheduled_ms)
    named = {
        "run.id": facts.run_id,
        "run.attempt": facts.attempt,
        "run.trigger": facts.trigger,
        "job.id": facts.job_id,
        "job.name": facts.job_name or "",
    }
    return str(named[slot.name])


def near_miss(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""


def _slot(found: re.Match[str], *, secrets: bool) -> Slot:
    name = found["name"]
    _check_name(name, secrets=secrets)
    if found["filter"] is None:
        return Slot(name)
    if found["filter"] != "date" or name != "run.scheduled_for":
        raise TemplateRefused(
            "asks for a filter that is not there; the only one is"
            """ {{run.scheduled_for | date "%Y-%m-%d"}}, of that instant alone"""
        )
    given = [one or other for one, other in _GIVEN.findall(found["given"])]
    if len(given) not in {1, 2}:
        raise TemplateRefused("gives 'date' no format; write date \"%Y-%m-%d\" and maybe a zone")
    _check_date(given[0])
    zone = given[1] if len(given) > 1 else None
    if zone is not None and (fault := zone_fault(zone)) is not None:
        raise TemplateRefused(f"gives 'date' an {fault}")
    return Slot(name, given[0], zone)


def _check_name(name: str, *, secrets: bool) -> None:
    if name.startswith(SECRET):
        if not secrets:
            raise TemplateRefused(
                "asks for a secret where none may stand; they go into headers and into the query"
                " of the URL, never into a body"
            )
        return
    if name in NAMES or name.startswith(LABEL):
        return
    shown = name if len(name) <= SHOWN_MAX else name[: SHOWN_MAX - 1] + "…"
    near = near_miss(name[:SHOWN_MAX], (*NAMES, LABEL.rstrip(".")))
    raise TemplateRefused(f"asks for '{shown}', which there is not{near}; there are {LISTED}")


def _check_date(form: str) -> None:
    for found in _DIRECTIVE.finditer(form):
        if found[1] == "" or found[1] not in DIRECTIVES:
            allowed = " ".join(f"%{one}" for one in DIRECTIVES)
            raise TemplateRefused(f"has '%{found[1]}' in the format of a date; there are {allowed}")


def _instant(slot: Slot, ms: int) -> str:
    if slot.date is None:
        return at_text(ms)
    instant = instant_at(ms)
    if slot.zone is not None:
        instant = instant.astimezone(zone_info(slot.zone))
    return _DIRECTIVE.sub(
        lambda found: str(ms // 1000) if found[1] == "s" else instant.strftime(found[0]),
        slot.date,
    )


def _joined(parts: list[str | Slot]) -> Template:
    """Put neighbouring texts together and leave empty ones out."""
    joined: list[str | Slot] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)
