"""Jobs of Dkron, as `GET /v1/jobs` answers them.

Its library is robfig/cron v3, with seconds first. The executor `http` becomes a target; of `shell`
and others a person says what runs them.
"""

import json
import re
from typing import Any, Final

from scheduler_svc.domain.imports.bodies import set_bytes
from scheduler_svc.domain.imports.draft import Draft, Options, drafted
from scheduler_svc.domain.imports.expression import convert
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import DKRON
from scheduler_svc.domain.imports.names import opened
from scheduler_svc.domain.imports.nights import settle
from scheduler_svc.domain.imports.robfig import split_zone, take_every, tell_search
from scheduler_svc.domain.imports.shape import (
    as_object,
    duration,
    flag_at,
    instant_of,
    instant_text,
    list_at,
    needed_text,
    number_at,
    object_at,
    shown,
    text_at,
)
from scheduler_svc.domain.imports.target import by_template, set_headers, set_url
from scheduler_svc.domain.imports.zoned import set_zone

SYSTEM: Final = "Dkron"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TIMEOUT_SECONDS: Final = 30
_TIMEOUT_MAX_SECONDS: Final = 1800
_ATTEMPTS_MAX: Final = 100
_NO_DATE: Final = "0001-01-01"
_TLS: Final = ("tlsNoVerifyPeer", "tlsCertificateFile", "tlsCertificateKeyFile", "tlsRootCAsFile")


def read(document: Any, source: str, options: Options, taken: set[str]) -> list[Draft]:
    """Return a draft for each job of a list, or for the one job of a document."""
    listed = document if isinstance(document, list) else [document]
    return [_convert(job, f"{source}[{index}]", options, taken) for index, job in enumerate(listed)]


def _convert(job: Any, source: str, options: Options, taken: set[str]) -> Draft:
    name = str(job.get("name") or "job") if isinstance(job, dict) else "job"
    draft = opened(f"{source} {shown(name)}", name, options, taken)

    def steps() -> None:
        given = as_object(job, "a job")
        _schedule(draft, given)
        _dates(draft, given)
        _described(draft, given)
        _target(draft, given)
        _run(draft, given)
        if flag_at(given, "disabled"):
            draft.switched_off("it is disabled")

    return drafted(draft, (steps,))


def _schedule(draft: Draft, job: dict[str, Any]) -> None:
    parent = text_at(job, "parent_job")
    if parent:
        raise Unfit("order", f"it runs after '{shown(parent)}': let that one's target do both")
    text, prefixed = split_zone(needed_text(job, "schedule"))
    if text == "@manually":
        raise Unfit("resolution", "@manually has no time: trigger a job that is paused instead")
    if text.startswith("@at "):
        at = instant_of(text.removeprefix("@at "), "schedule")
        if at <= draft.options.now:
            raise Unfit("end", f"{instant_text(at)} is over")
        draft.schedule["at"] = instant_text(at)
        return
    if text.startswith("@every"):
        take_every(draft, text, SYSTEM)
        return
    place = prefixed or text_at(job, "timezone")
    set_zone(draft, place, system=SYSTEM, default="the zone of its server")
    draft.schedule["cron"] = convert(draft, DKRON, text)
    settle(draft, "elapsed", SYSTEM)
    tell_search(draft)


def _dates(draft: Draft, job: dict[str, Any]) -> None:
    for key, ours in (("starts_at", "start"), ("expires_at", "end")):
        found = text_at(job, key)
        if not found or found.startswith(_NO_DATE):
            continue
        at = instant_of(found, key)
        if ours == "end" and at <= draft.options.now:
            raise Unfit("end", f"it expired on {instant_text(at)}")
        draft.schedule[ours] = instant_text(at)
    if flag_at(job, "ephemeral"):
        draft.policy(delete_after_completion=True)
        draft.differs(
            "end", "Dkron deletes an ephemeral job after its first success; here at its end"
        )


def _described(draft: Draft, job: dict[str, Any]) -> None:
    if said := text_at(job, "displayname"):
        draft.policy(description=said[:4096])
    owner = text_at(job, "owner")
    if owner:
        draft.policy(labels={"owner": owner[:256]})
    if object_at(job, "tags"):
        draft.differs("environment", "tags choose the nodes that run it: no matter here")
    if object_at(job, "processors"):
        draft.differs("output", "output processors have no equal: responses are kept with the run")
    if list_at(job, "dependent_jobs"):
        draft.decide("order", "jobs depend on this one: its target must start them")


def _target(draft: Draft, job: dict[str, Any]) -> None:
    executor = text_at(job, "executor") or "none"
    config = object_at(job, "executor_config")
    if executor == "http":
        _http(draft, config)
        return
    body: dict[str, Any] = {"executor": executor}
    body["config"] = {key: value for key, value in config.items() if key != "password"}
    by_template(draft, f"the executor {shown(executor)}", body)


def _http(draft: Draft, config: dict[str, Any]) -> None:
    set_url(draft, needed_text(config, "url", "executor_config"))
    method = (text_at(config, "method") or "GET").upper()
    if method not in _METHODS:
        raise Unfit("target", f"the method '{shown(method)}' is none of those that jobs have")
    if method != "POST":
        draft.target["method"] = method
    set_headers(draft, _headers(config), SYSTEM)
    if body := text_at(config, "body"):
        set_bytes(draft, body.encode("utf-8", "replace"))
    seconds = number_at(config, "timeout", "executor_config")
    wanted = _TIMEOUT_SECONDS if seconds is None else max(seconds, 1)
    draft.target["timeout"] = duration(min(wanted, _TIMEOUT_MAX_SECONDS))
    if wanted <= _TIMEOUT_MAX_SECONDS:
        draft.same("timeout", f"a call may take {draft.target['timeout']}")
    else:
        draft.differs("timeout", f"a call may take {wanted} s there, at most 30m here")
    _answers(draft, config)
    if any(config.get(key) for key in _TLS):
        draft.decide("target", "its TLS settings name files of Dkron's nodes: see target.tls")


def _headers(config: dict[str, Any]) -> dict[str, str]:
    """Read the headers, a list of `Name: value` as JSON text."""
    text = text_at(config, "headers", "executor_config")
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise Unfit("payload", "executor_config.headers is no list of texts as JSON")
    pairs = (str(one).partition(":") for one in found if one)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _answers(draft: Draft, config: dict[str, Any]) -> None:
    codes = text_at(config, "expectCode", "executor_config")
    if not codes:
        draft.target["success_status"] = ["100-599"]
        draft.decide("response", "without expectCode any answer is a success for Dkron, a 500 too")
    else:
        listed = [one.strip() for one in codes.split(",") if one.strip()]
        if not listed or not all(re.fullmatch(r"[1-5]\d\d", one, re.ASCII) for one in listed):
            raise Unfit("response", f"expectCode '{shown(codes)}' is no list of statuses")
        draft.target["success_status"] = [int(one) for one in listed]
        draft.same("response", f"only {codes} counts as success, as expectCode says")
    if config.get("expectBody"):
        draft.decide("response", "expectBody has no equal: the target must tell by its status")
    draft.differs("response", "an answer 410 pauses the job here")


def _run(draft: Draft, job: dict[str, Any]) -> None:
    concurrency = text_at(job, "concurrency") or "allow"
    if concurrency not in {"allow", "forbid"}:
        raise Unfit("overlap", f"concurrency '{shown(concurrency)}' is none of Dkron's")
    overlap = "allow" if concurrency == "allow" else "skip"
    retries = number_at(job, "retries") or 0
    if retries < 0:
        raise Unfit("shape", "retries is less than 0")
    retry: dict[str, Any] = {"max_attempts": min(retries + 1, _ATTEMPTS_MAX)}
    if retries:
        retry.update(delays=["0s"], on=["1xx", "2xx", "3xx", "4xx", "5xx"])
        draft.differs(
            "retry", "retries follow at once, as in Dkron; here they end before the next occurrence"
        )
    else:
        draft.same("retry", "a failed run is not tried again, as retries 0 says")
    draft.policy(overlap=overlap, misfire={"policy": "skip"}, retry=retry)
    draft.same("overlap", f"concurrency {concurrency} is overlap '{overlap}'")
    draft.same("missed", "what is missed while nothing ran is not made up for, as in Dkron")
