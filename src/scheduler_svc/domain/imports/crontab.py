"""Crontabs, of users and of the system, as Debian's cron and cronie read them.

What cron does stays: it overlaps, tries once, makes up for nothing; a command has no address, so a
person says what runs it.
"""

import re
from typing import Final

from scheduler_svc.domain.imports.crontab_lines import Entry, entries
from scheduler_svc.domain.imports.draft import Draft, Options, drafted
from scheduler_svc.domain.imports.expression import convert
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import CRONTAB
from scheduler_svc.domain.imports.names import opened
from scheduler_svc.domain.imports.nights import settle
from scheduler_svc.domain.imports.shape import shown
from scheduler_svc.domain.imports.spread import set_spread
from scheduler_svc.domain.imports.target import by_template
from scheduler_svc.domain.imports.zoned import set_zone

_WORDS: Final = 4
_INTERPRETERS: Final = frozenset({"sh", "bash", "python", "python3", "perl", "php", "ruby", "env"})
_OF_CRON: Final = frozenset({"CRON_TZ", "MAILTO", "MAILFROM", "RANDOM_DELAY"})


def read(text: str, source: str, options: Options, taken: set[str]) -> list[Draft]:
    """Return a draft for each entry of a table."""
    drafts = []
    for entry in entries(text, system=options.system):
        wanted = _called(entry.command or "job")
        draft = opened(f"{source}:{entry.line}", wanted, options, taken)
        drafts.append(_convert(draft, entry))
    return drafts


def _convert(draft: Draft, entry: Entry) -> Draft:
    return drafted(
        draft, (lambda: _schedule(draft, entry), lambda: _target(draft, entry), lambda: _run(draft))
    )


def _schedule(draft: Draft, entry: Entry) -> None:
    if entry.schedule == "@reboot":
        raise Unfit("reboot", "@reboot waits for a machine to start; there is none: name a time")
    if entry.command is None:
        raise Unfit("shape", f"no command after '{shown(entry.schedule)}'")
    draft.schedule["cron"] = convert(draft, CRONTAB, entry.schedule)
    own = entry.settings.get("CRON_TZ")
    set_zone(draft, own, system="cron", default="the zone of its machine")
    if own:
        draft.decide(
            "timezone",
            f"CRON_TZ={own} is what cronie goes by; Debian's cron takes no notice of it",
        )
    settle(draft, "cron", "cron")
    if delay := entry.settings.get("RANDOM_DELAY"):
        _spread(draft, delay)


def _spread(draft: Draft, delay: str) -> None:
    if not re.fullmatch(r"\d{1,5}", delay, re.ASCII):
        draft.decide("spread", f"RANDOM_DELAY={shown(delay)} is no number of minutes")
        return
    set_spread(draft, int(delay) * 60, "cron draws one delay for all jobs at its start")


def _target(draft: Draft, entry: Entry) -> None:
    around = {name: value for name, value in entry.settings.items() if name not in _OF_CRON}
    body: dict[str, object] = {"command": entry.command}
    if entry.input is not None:
        body["input"] = entry.input
        draft.same("payload", "what stands after % is the command's input: 'input' of the body")
    if entry.user:
        body["user"] = entry.user
    if around:
        body["environment"] = around
    if entry.user or around:
        draft.differs("environment", "user and settings are in the body, for what runs the command")
    if not draft.options.system and re.match(r"(root|www-data|nobody)\s", entry.command or ""):
        draft.decide("environment", "it begins with a user: is it a system table? say --system")
    by_template(draft, "a command", body)
    mail = entry.settings.get("MAILTO")
    if mail != "":
        to = mail or "the table's owner"
        draft.differs("output", f"cron mails output to {shown(to)}; here alerts.url hears")


def _run(draft: Draft) -> None:
    draft.policy(overlap="allow", misfire={"policy": "skip"}, retry={"max_attempts": 1})
    draft.same("overlap", "a run starts beside one that is not over, as under cron")
    draft.same("missed", "what is missed while nothing ran is not made up for, as under cron")
    draft.same("retry", "a failed run is not tried again, as under cron")


def _called(command: str) -> str:
    """Call a job by the first words of its command, without folders and what stands around."""
    parts = [part.strip() for part in re.split(r"[;|&<>]+|\d>", command)]
    told = [part for part in parts if part and not re.match(r"(cd|test|\[|:|sleep)(\s|$)", part)]
    command = (told or parts)[0]
    words = [word.rpartition("/")[2] for word in re.split(r"[\s;|&<>\"'()$`=]+", command) if word]
    kept = [word for word in words if word.lower() not in _INTERPRETERS and word[:1] != "-"]
    return " ".join((kept or words or ["job"])[:_WORDS])
