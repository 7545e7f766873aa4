"""Schedules of EventBridge Scheduler (`aws scheduler get-schedule`), and EventBridge rules.

Their targets are addresses within AWS: a person says what stands for them.
"""

import re
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from scheduler_svc.domain.imports.bodies import as_json
from scheduler_svc.domain.imports.draft import Draft, Options, drafted
from scheduler_svc.domain.imports.expression import convert
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import EVENTBRIDGE
from scheduler_svc.domain.imports.names import full_name, opened
from scheduler_svc.domain.imports.nights import settle
from scheduler_svc.domain.imports.shape import (
    as_object,
    duration,
    instant_of,
    instant_text,
    list_at,
    number_at,
    object_at,
    shown,
    text_at,
)
from scheduler_svc.domain.imports.spread import set_spread
from scheduler_svc.domain.imports.target import by_template
from scheduler_svc.domain.imports.zoned import known_zone, set_zone
from scheduler_svc.domain.zones import zone_info

SCHEDULER: Final = "EventBridge Scheduler"
RULES: Final = "EventBridge rules"
_CALL: Final = re.compile(r"(cron|rate|at)\((.*)\)", re.DOTALL)
_RATE: Final = re.compile(r"(\d{1,6}) (minute|hour|day)s?")
_UNITS: Final = {"minute": "m", "hour": "h", "day": "d"}
_ATTEMPTS: Final = 185
_AGE_SECONDS: Final = 86_400
_ATTEMPTS_MAX: Final = 100


def read(document: Any, source: str, options: Options, taken: set[str]) -> list[Draft]:
    """Return a draft for each schedule or rule: one, a list, or what `list-...` answers."""
    if isinstance(document, dict):
        for key in ("Schedules", "Rules"):
            if isinstance(document.get(key), list):
                document = document[key]
                break
    listed = document if isinstance(document, list) else [document]
    return [_convert(one, f"{source}[{index}]", options, taken) for index, one in enumerate(listed)]


def _convert(one: Any, source: str, options: Options, taken: set[str]) -> Draft:
    given = one if isinstance(one, dict) else {}
    group, name = given.get("GroupName"), str(given.get("Name") or "job")
    wanted = full_name(group, name)
    draft = opened(f"{source} {shown(wanted)}", wanted, options, taken)
    is_rule = "ScheduleExpressionTimezone" not in given and (
        "EventBusName" in given or "Targets" in given or ":rule/" in str(given.get("Arn", ""))
    )

    def steps() -> None:
        schedule = as_object(one, "a schedule")
        _schedule(draft, schedule, is_rule=is_rule)
        _window(draft, schedule)
        _target(draft, schedule)
        _run(draft, schedule)
        if said := text_at(schedule, "Description"):
            draft.policy(description=said[:4096])
        if text_at(schedule, "State") == "DISABLED":
            draft.switched_off("it is disabled")

    return drafted(draft, (steps,))


def _schedule(draft: Draft, given: dict[str, Any], *, is_rule: bool) -> None:
    system = RULES if is_rule else SCHEDULER
    text = text_at(given, "ScheduleExpression")
    if not text:
        raise Unfit("shape", "it has no ScheduleExpression: a rule for events has no time")
    match = _CALL.fullmatch(text.strip())
    if match is None or (is_rule and match[1] == "at"):
        raise Unfit("syntax", f"'{shown(text)}' is no expression of {system}")
    place = text_at(given, "ScheduleExpressionTimezone") or "UTC"
    inner = match[2].strip()
    if match[1] == "cron":
        set_zone(draft, place, system=system, default="UTC")
        draft.schedule["cron"] = convert(draft, EVENTBRIDGE, inner)
        settle(draft, "once", system)
    elif match[1] == "rate":
        _rate(draft, given, inner, system)
    else:
        _at(draft, given, inner, place)
    draft.same("resolution", f"{system} runs within the minute; here it is at its second")


def _rate(draft: Draft, given: dict[str, Any], text: str, system: str) -> None:
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise Unfit("syntax", f"rate({shown(text)}) is no number of minutes, hours or days")
    draft.schedule["every"] = f"{int(match[1])}{_UNITS[match[2]]}"
    changed = given.get("LastModificationDate") or given.get("CreationDate")
    anchor = given.get("StartDate") or changed
    if anchor is None:
        draft.differs(
            "anchor",
            f"{system} counts from when the schedule was made or changed, which this does not say;"
            " here from when the job is created",
        )
        return
    at = instant_of(anchor, "StartDate")
    draft.schedule["anchor"] = instant_text(at)
    if given.get("StartDate"):
        draft.same("anchor", f"it goes on counting from StartDate, {instant_text(at)}")
    else:
        draft.decide(
            "anchor",
            f"it counts from its last change, {instant_text(at)}; to which second AWS does not"
            " publish",
        )


def _at(draft: Draft, given: dict[str, Any], text: str, place: str) -> None:
    known = known_zone(place)
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        local = None
    if local is None or local.tzinfo is not None or not re.fullmatch(r"\d{4}-\d\d-\d\dT.+", text):
        raise Unfit("syntax", f"at({shown(text)}) is no time like at(2030-01-31T09:00:00)")
    rules = zone_info(known)
    at = local.replace(tzinfo=rules)
    if not _exists(local, rules):
        raise Unfit("dst_gap", f"{shown(text)} does not exist in {known}: AWS skips it")
    if at <= draft.options.now:
        raise Unfit("end", f"{shown(text)} in {known} is over")
    draft.schedule["at"] = instant_text(at)
    if at.utcoffset() != at.replace(fold=1).utcoffset():
        draft.same("dst_overlap", "the time comes twice; the first is meant, as in AWS", at)
    if text_at(given, "ActionAfterCompletion") == "DELETE":
        draft.policy(delete_after_completion=True)
        draft.same("end", "the job is deleted once it has run, as ActionAfterCompletion says")


def _exists(local: datetime, rules: ZoneInfo) -> bool:
    one = local.replace(tzinfo=rules)
    return _wall_clock(one, rules) == local


def _wall_clock(instant: datetime, rules: ZoneInfo) -> datetime:
    """Return the wall-clock time of an instant, by way of its Unix seconds."""
    return datetime.fromtimestamp(instant.timestamp(), rules).replace(tzinfo=None)


def _window(draft: Draft, given: dict[str, Any]) -> None:
    for key, ours in (("StartDate", "start"), ("EndDate", "end")):
        if (found := given.get(key)) is not None and "at" not in draft.schedule:
            draft.schedule[ours] = instant_text(instant_of(found, key))
    if "end" in draft.schedule and instant_of(given["EndDate"], "EndDate") <= draft.options.now:
        raise Unfit("end", f"its EndDate, {draft.schedule['end']}, is over")
    window = object_at(given, "FlexibleTimeWindow")
    if text_at(window, "Mode") != "FLEXIBLE":
        return
    minutes = number_at(window, "MaximumWindowInMinutes")
    if minutes is None or not 1 <= minutes <= 1440:  # noqa: PLR2004 - what AWS takes
        raise Unfit("spread", "MaximumWindowInMinutes is outside 1 to 1440")
    set_spread(draft, minutes * 60, "AWS draws a delay within the window for each run")


def _target(draft: Draft, given: dict[str, Any]) -> None:
    several = [as_object(one, "a target") for one in list_at(given, "Targets")]
    target = several[0] if several else object_at(given, "Target")
    arn = text_at(target, "Arn", "Target") or "an unknown target"
    raw = text_at(target, "Input", "Target")
    found = None if raw is None else as_json(raw.encode("utf-8", "replace"))
    body: dict[str, Any] = {"arn": arn}
    if raw is not None:
        body["input"] = raw if found is None else found
        if "<aws.scheduler." in raw:
            draft.decide("payload", "placeholders <aws.scheduler...> are sent as they stand")
    by_template(draft, "a target within AWS", body)
    if len(several) > 1:
        draft.decide("target", f"the rule has {len(several)} targets; only the first is in the job")
    if not target:
        draft.decide("target", "targets are not listed with rules: see list-targets-by-rule")
    _retry(draft, object_at(target, "RetryPolicy"))
    if object_at(target, "DeadLetterConfig"):
        draft.differs("output", "there is no dead-letter queue: failed runs stay, alerts.url hears")


def _retry(draft: Draft, policy: dict[str, Any]) -> None:
    attempts = number_at(policy, "MaximumRetryAttempts", "RetryPolicy")
    age = number_at(policy, "MaximumEventAgeInSeconds", "RetryPolicy")
    tries = (_ATTEMPTS if attempts is None else attempts) + 1
    if not 1 <= tries <= _ATTEMPTS + 1:
        raise Unfit("shape", f"MaximumRetryAttempts is outside 0 to {_ATTEMPTS}")
    if tries == 1:
        draft.policy(retry={"max_attempts": 1})
        draft.same("retry", "a failed call is not tried again, as MaximumRetryAttempts 0 says")
        return
    deadline = duration(_AGE_SECONDS if age is None else age)
    draft.policy(retry={"max_attempts": min(tries, _ATTEMPTS_MAX), "deadline": deadline})
    draft.differs(
        "retry",
        f"up to {min(tries, _ATTEMPTS_MAX)} attempts within {deadline}, as there; AWS does not say"
        " at which waits, and means calls that did not arrive, not those that failed",
    )


def _run(draft: Draft, given: dict[str, Any]) -> None:
    draft.policy(overlap="allow")
    draft.same("overlap", "a run starts beside one that is not over, as in AWS")
    draft.decide(
        "missed", "AWS does not publish what it makes up for; here the latest, within a day"
    )
    if needed := text_at(given, "KmsKeyArn"):
        draft.differs("payload", f"{shown(needed)} is no key of this service")
