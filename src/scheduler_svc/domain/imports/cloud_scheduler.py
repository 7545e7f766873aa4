"""Jobs of Google Cloud Scheduler, as `gcloud scheduler jobs list --format=json` writes them.

Their HTTP targets stay as they are; what Google signs or routes for itself a person has to decide.
"""

import re
from typing import Any, Final

from scheduler_svc.domain.imports.bodies import set_base64
from scheduler_svc.domain.imports.cloud_english import read_english
from scheduler_svc.domain.imports.draft import Draft, Options, drafted
from scheduler_svc.domain.imports.expression import convert
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import CLOUD_SCHEDULER
from scheduler_svc.domain.imports.names import opened
from scheduler_svc.domain.imports.nights import settle
from scheduler_svc.domain.imports.shape import (
    as_object,
    duration,
    needed_text,
    number_at,
    object_at,
    shown,
    text_at,
)
from scheduler_svc.domain.imports.target import by_template, set_headers, set_url
from scheduler_svc.domain.imports.zoned import set_zone

SYSTEM: Final = "Cloud Scheduler"
_SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_AGENT: Final = "Google-Cloud-Scheduler"
"""What every job of theirs has as its user agent."""
_ATTEMPT_SECONDS: Final = 180.0
_TIMEOUT_MAX_SECONDS: Final = 1800.0
_ATTEMPTS_MAX: Final = 99
_COUNT_MAX: Final = 5
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def read(document: Any, source: str, options: Options, taken: set[str]) -> list[Draft]:
    """Return a draft for each job of a list, or for the one job of a document."""
    listed = document if isinstance(document, list) else [document]
    return [_convert(job, f"{source}[{index}]", options, taken) for index, job in enumerate(listed)]


def _convert(job: Any, source: str, options: Options, taken: set[str]) -> Draft:
    named = job.get("name") if isinstance(job, dict) else None
    name = named.rpartition("/")[2] if isinstance(named, str) else ""
    draft = opened(f"{source} {shown(name or 'without a name')}", name or "job", options, taken)

    def steps() -> None:
        given = as_object(job, "a job")
        _schedule(draft, given)
        if said := text_at(given, "description"):
            draft.policy(description=said[:4096])
        _target(draft, given)
        _retry(draft, object_at(given, "retryConfig"))
        draft.same("overlap", "no second run starts while one is not over, as in Cloud Scheduler")
        draft.decide("missed", "Google does not publish what it makes up for; here the latest")
        if text_at(given, "state") in {"PAUSED", "DISABLED"}:
            draft.switched_off("it is paused")

    return drafted(draft, (steps,))


def _schedule(draft: Draft, job: dict[str, Any]) -> None:
    text = needed_text(job, "schedule")
    set_zone(draft, text_at(job, "timeZone") or "UTC", system=SYSTEM, default="UTC")
    english = read_english(text)
    if english is not None and english.every is not None:
        draft.schedule.pop("timezone", None)
        draft.schedule["every"] = english.every
        draft.differs(
            "anchor",
            f"'{shown(text)}' counts from the end of the run before; here from when the job is"
            " created, whatever runs take",
        )
        return
    if english is not None and english.cron is not None:
        draft.schedule["cron"] = english.cron
        draft.same("resolution", f"'{shown(text)}' is '{english.cron}'")
    else:
        draft.schedule["cron"] = convert(draft, CLOUD_SCHEDULER, text)
        _tell_days(draft, text)
    settle(draft, "unpublished", SYSTEM)


def _tell_days(draft: Draft, text: str) -> None:
    _, _, day, _, weekday = text.split()
    if "*/" in day + weekday and "*" not in {day, weekday}:
        draft.decide(
            "day_rule",
            "Google says that a day field of '*' is unrestricted, and not whether '*/n' is; here it"
            " is, as in cron",
        )


def _target(draft: Draft, job: dict[str, Any]) -> None:
    if http := object_at(job, "httpTarget"):
        _http(draft, http)
    elif topic := object_at(job, "pubsubTarget"):
        told = ("topicName", "data", "attributes")
        body: dict[str, Any] = {key: topic[key] for key in told if key in topic}
        by_template(draft, "a Pub/Sub topic", body)
    elif engine := object_at(job, "appEngineHttpTarget"):
        _app_engine(draft, engine)
    else:
        raise Unfit("target", "it has no httpTarget, pubsubTarget or appEngineHttpTarget")
    deadline = text_at(job, "attemptDeadline")
    seconds = _ATTEMPT_SECONDS if deadline is None else _seconds(deadline, "attemptDeadline")
    if draft.target:
        draft.target["timeout"] = duration(min(max(seconds, 1), _TIMEOUT_MAX_SECONDS))
        draft.same("timeout", f"an attempt may take {draft.target['timeout']}")


def _http(draft: Draft, http: dict[str, Any]) -> None:
    set_url(draft, needed_text(http, "uri", "httpTarget"))
    _request(draft, http)
    if token := object_at(http, "oidcToken"):
        audience = text_at(token, "audience") or str(http["uri"])
        draft.target["auth"] = {"type": "oidc", "audience": audience[:1024]}
        draft.decide(
            "payload",
            "Google signs the identity token of a service account; here this service does, and the"
            " target must trust its issuer",
        )
    if object_at(http, "oauthToken"):
        draft.decide("payload", "the access token of a service account has no equal here")
    _tell_answers(draft)


def _app_engine(draft: Draft, engine: dict[str, Any]) -> None:
    host = text_at(object_at(engine, "appEngineRouting"), "host")
    path = text_at(engine, "relativeUri") or "/"
    if host is None:
        by_template(draft, "an App Engine handler without a host", {"path": path})
        return
    set_url(draft, f"https://{host}{path}")
    _request(draft, engine)
    draft.decide("target", "App Engine may trust X-Appengine headers of Google alone: check it")
    _tell_answers(draft)


def _request(draft: Draft, http: dict[str, Any]) -> None:
    method = text_at(http, "httpMethod") or "POST"
    if method not in _METHODS:
        raise Unfit("target", f"the method '{shown(method)}' is none of those that jobs have")
    if method != "POST":
        draft.target["method"] = method
    headers = object_at(http, "headers")
    told = {name: str(value) for name, value in headers.items() if value != _AGENT}
    set_headers(draft, told, "Google")
    if body := text_at(http, "body"):
        set_base64(draft, body, "the body")
    draft.differs("payload", "instead of headers X-CloudScheduler-... it sends Scheduler-... ones")


def _tell_answers(draft: Draft) -> None:
    draft.differs("response", "an answer 410 pauses the job here; for Google it is a failure only")


def _retry(draft: Draft, given: dict[str, Any]) -> None:
    """Write the waits one by one: Google doubles some times, and then adds."""
    count = number_at(given, "retryCount", "retryConfig") or 0
    longest = _of(given, "maxRetryDuration", 0.0)
    if not 0 <= count <= _COUNT_MAX:
        raise Unfit("shape", f"retryConfig.retryCount is {count}, outside 0 to {_COUNT_MAX}")
    if count == 0 and longest == 0:
        draft.policy(retry={"max_attempts": 1})
        draft.same("retry", "a failed run is not tried again, as retryCount 0 says")
        return
    least, most = _of(given, "minBackoffDuration", 5.0), _of(given, "maxBackoffDuration", 3600.0)
    doublings = number_at(given, "maxDoublings", "retryConfig")
    waits = _waits(least, most, 5 if doublings is None else doublings, count, longest)
    draft.policy(
        retry={
            "max_attempts": len(waits) + 1,
            "delays": [duration(wait) for wait in waits],
            "on": ["3xx", "4xx", "5xx"],
        }
    )
    draft.differs(
        "retry",
        f"{len(waits)} more attempts at the waits that Google has; but here they end before the"
        " next occurrence, there that one is skipped",
    )


def _waits(least: float, most: float, doublings: int, count: int, longest: float) -> list[float]:
    """List the waits: until `count` are made and, where there is one, the duration is over."""
    waits: list[float] = []
    passed = 0.0
    while len(waits) < _ATTEMPTS_MAX and (len(waits) < count or passed < longest):
        made, exponent = len(waits), max(0, min(doublings, 32))
        wait = least * 2 ** min(made, exponent)
        if made > exponent:
            wait += (made - exponent) * least * 2**exponent
        wait = max(0.001, min(wait, most))
        passed += wait
        if len(waits) >= count and passed > longest:
            break
        waits.append(wait)
    return waits


def _of(given: dict[str, Any], key: str, default: float) -> float:
    text = text_at(given, key, "retryConfig")
    return default if text is None else _seconds(text, key)


def _seconds(text: str, path: str) -> float:
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise Unfit("shape", f"{path} '{shown(text)}' is no number of seconds like '180s'")
    return float(match[1])
