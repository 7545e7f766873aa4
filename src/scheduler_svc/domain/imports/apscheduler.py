"""Jobs of APScheduler 3, from a dump that the documentation says how to make.

What they call is a function in a process: a person says what runs it.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from scheduler_svc.domain.imports.apscheduler_dump import all_fields, described
from scheduler_svc.domain.imports.apscheduler_nights import settle_nights
from scheduler_svc.domain.imports.draft import Draft, Options, drafted
from scheduler_svc.domain.imports.expression import convert_fields, read_parts
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import APSCHEDULER
from scheduler_svc.domain.imports.names import opened
from scheduler_svc.domain.imports.shape import (
    as_object,
    duration,
    flag_at,
    instant_of,
    instant_text,
    number_at,
    object_at,
    shown,
    text_at,
)
from scheduler_svc.domain.imports.spread import set_spread
from scheduler_svc.domain.imports.target import by_template
from scheduler_svc.domain.imports.zoned import known_zone, set_zone
from scheduler_svc.domain.zones import zone_info

SYSTEM: Final = "APScheduler"
_ORDER: Final = ("year", "month", "day", "day_of_week", "hour", "minute", "second")
_LONGEST: Final = "36500d"
_MILLISECOND: Final = timedelta(milliseconds=1)
_HOST: Final = "the zone of its scheduler"


def read(document: Any, source: str, options: Options, taken: set[str]) -> list[Draft]:
    """Return a draft for each job of a dump."""
    if isinstance(document, dict) and isinstance(document.get("jobs"), list):
        document = document["jobs"]
    listed = document if isinstance(document, list) else [document]
    return [_convert(job, f"{source}[{index}]", options, taken) for index, job in enumerate(listed)]


def _convert(job: Any, source: str, options: Options, taken: set[str]) -> Draft:
    given = job if isinstance(job, dict) else {}
    wanted = str(given.get("id") or given.get("name") or "job")
    draft = opened(f"{source} {shown(wanted)}", wanted, options, taken)

    def steps() -> None:
        found = as_object(job, "a job")
        if "trigger" not in found:
            raise Unfit("shape", "it has no trigger")
        trigger = described(found["trigger"])
        _schedule(draft, trigger)
        _jitter(draft, trigger)
        _target(draft, found)
        _policies(draft, found)
        if "next_run_time" in found and found["next_run_time"] is None:
            draft.switched_off("it is paused")

    return drafted(draft, (steps,))


def _schedule(draft: Draft, trigger: dict[str, Any]) -> None:
    match trigger["type"]:
        case "cron":
            _cron(draft, trigger)
        case "interval":
            _interval(draft, trigger)
        case "date":
            _date(draft, trigger)
        case other:
            raise Unfit(
                "syntax", f"a trigger of the kind '{shown(other)}' has no equal: write a job for it"
            )


def _cron(draft: Draft, trigger: dict[str, Any]) -> None:
    fields = all_fields(object_at(trigger, "fields", "trigger"))
    if fields.pop("week") != "*":
        raise Unfit("syntax", "the field week (ISO weeks) has no equal: name days or months")
    set_zone(draft, text_at(trigger, "timezone"), system=SYSTEM, default=_HOST)
    texts = [fields[name] for name in _ORDER]
    draft.schedule["cron"] = convert_fields(draft, APSCHEDULER, texts)
    settle_nights(draft, read_parts(APSCHEDULER, texts))
    _bounds(draft, trigger)


def _interval(draft: Draft, trigger: dict[str, Any]) -> None:
    seconds = trigger.get("seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise Unfit("shape", "trigger.seconds is no number")
    seconds = seconds or 1
    if seconds < 1:
        raise Unfit("resolution", f"every {seconds} s is more often than once a second")
    draft.schedule["every"] = duration(seconds)
    if trigger.get("start_date"):
        at = _instant(draft, trigger, "start_date")
        draft.schedule["anchor"] = instant_text(at)
        draft.same("anchor", f"it goes on counting from start_date, {instant_text(at)}")
    else:
        draft.differs(
            "anchor",
            "APScheduler counts from one interval after the job was added, anew with each start"
            " where jobs are kept in memory; here from when the job is created, for good",
        )
    _bounds(draft, trigger)
    draft.schedule.pop("start", None)


def _date(draft: Draft, trigger: dict[str, Any]) -> None:
    at = _instant(draft, trigger, "run_date")
    if at <= draft.options.now:
        raise Unfit("end", f"{instant_text(at)} is over")
    draft.schedule["at"] = instant_text(at)
    draft.differs(
        "end", "APScheduler forgets the job once it has run; here it is completed and stays"
    )


def _bounds(draft: Draft, trigger: dict[str, Any]) -> None:
    if trigger.get("start_date"):
        draft.schedule["start"] = instant_text(_instant(draft, trigger, "start_date"))
    if trigger.get("end_date"):
        at = _instant(draft, trigger, "end_date")
        if at <= draft.options.now:
            raise Unfit("end", f"its end_date, {instant_text(at)}, is over")
        draft.schedule["end"] = instant_text(at + _MILLISECOND)
        draft.same("end", "end_date is the last instant of it: 'end' is a millisecond later")


def _instant(draft: Draft, trigger: dict[str, Any], key: str) -> datetime:
    """Read an instant; one without an offset is in the trigger's zone, else the host's."""
    value = trigger.get(key)
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is not None and found.tzinfo is None:
            place = text_at(trigger, "timezone") or draft.options.timezone
            if place is None:
                draft.decide("timezone", f"{key} has no offset: it is taken to be in UTC")
            return found.replace(tzinfo=zone_info(known_zone(place or "UTC")))
        if found is None:
            return _with_letters(draft, value, key)
    return instant_of(value, f"trigger.{key}")


def _with_letters(draft: Draft, text: str, key: str) -> datetime:
    """Read `2026-12-01 10:00:00 CET`: the letters say little, so the zone is the host's."""
    stem, _, letters = text.strip().rpartition(" ")
    try:
        found = datetime.fromisoformat(stem)
    except ValueError:
        raise Unfit("shape", f"trigger.{key} is no instant: '{shown(text)}'") from None
    place = "UTC" if letters in {"UTC", "GMT"} else draft.options.timezone
    if place is None:
        raise Unfit("timezone", f"'{shown(letters)}' names no zone for certain: say --timezone")
    return found.replace(tzinfo=zone_info(known_zone(place)))


def _jitter(draft: Draft, trigger: dict[str, Any]) -> None:
    jitter = number_at(trigger, "jitter", "trigger")
    if jitter:
        set_spread(draft, jitter, "APScheduler draws a delay for each run")


def _target(draft: Draft, job: dict[str, Any]) -> None:
    func = job.get("func")
    body = {
        "func": func if isinstance(func, str) else shown(func),
        "args": job.get("args") or [],
        "kwargs": job.get("kwargs") or {},
    }
    by_template(draft, "a function of Python", body)
    name = job.get("name")
    if isinstance(name, str) and name != draft.wanted:
        draft.policy(description=name[:4096])


def _policies(draft: Draft, job: dict[str, Any]) -> None:
    most = number_at(job, "max_instances")
    draft.policy(retry={"max_attempts": 1}, overlap="skip" if most in {None, 1} else "allow")
    draft.same("retry", "a failed run is not tried again, as in APScheduler")
    if most in {None, 1}:
        draft.same("overlap", "a run that finds another is skipped, as max_instances 1 says")
    else:
        draft.decide(
            "overlap",
            f"max_instances {most} has no equal: any number may run; a concurrency_key can limit",
        )
    _missed(draft, job)


def _missed(draft: Draft, job: dict[str, Any]) -> None:
    """Keep misfire_grace_time and coalesce: how late, and the last of several or all."""
    given = job.get("misfire_grace_time", 1)
    coalesce = job.get("coalesce") is None or flag_at(job, "coalesce")
    policy = "once" if coalesce else "all"
    draft.policy(misfire={"policy": policy, "max_lateness": _LONGEST})
    if given is None:
        draft.same("missed", f"what was missed is made up for however late: '{policy}'")
        return
    seconds = number_at(job, "misfire_grace_time") if "misfire_grace_time" in job else 1
    grace = duration(seconds or 0)
    if (seconds or 0) <= 60:  # noqa: PLR2004 - the grace that jobs have by default
        draft.policy(misfire={"policy": "skip", "grace": grace})
    else:
        draft.policy(misfire={"policy": policy, "max_lateness": grace})
    draft.same("missed", f"what is later than {grace} is not sent, as misfire_grace_time says")
    if seconds == 1:
        draft.decide(
            "missed", "one second is APScheduler's default and strict: a grace of 1m loses less"
        )
