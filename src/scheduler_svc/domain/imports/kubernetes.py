"""CronJobs of Kubernetes, as the controller of 1.27 and later treats them.

Its library is robfig/cron v3. What runs in a pod has no address: a person says what runs it.
"""

from datetime import UTC, datetime
from typing import Any, Final

from scheduler_svc.domain.imports.draft import Draft, Options, drafted
from scheduler_svc.domain.imports.expression import convert
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import KUBERNETES
from scheduler_svc.domain.imports.names import full_name, opened
from scheduler_svc.domain.imports.nights import settle
from scheduler_svc.domain.imports.robfig import split_zone, take_every, tell_search
from scheduler_svc.domain.imports.shape import (
    as_object,
    duration,
    flag_at,
    instant_of,
    list_at,
    needed_text,
    number_at,
    object_at,
    shown,
    text_at,
)
from scheduler_svc.domain.imports.target import by_template
from scheduler_svc.domain.imports.zoned import set_zone

_POLICIES: Final = {"Allow": "allow", "Forbid": "skip", "Replace": "cancel"}
_BACKOFF_LIMIT: Final = 6
_ATTEMPTS_MAX: Final = 100
_LOOK_SECONDS: Final = 10
_LATENESS_MAX: Final = "365d"
_GRACE_SECONDS: Final = 60
_TIMEOUT_MAX_SECONDS: Final = 1800


def read(document: Any, source: str, options: Options, taken: set[str]) -> list[Draft]:
    """Return a draft for each CronJob in a document, within a List too; other kinds are left."""
    if not isinstance(document, dict):
        return [] if document is None else [_odd(source, document, options, taken)]
    kind = document.get("kind")
    if kind == "List" or (isinstance(kind, str) and kind.endswith("List")):
        items = document.get("items")
        listed = items if isinstance(items, list) else []
        return [draft for item in listed for draft in read(item, source, options, taken)]
    if kind != "CronJob":
        return []
    return [_convert(document, source, options, taken)]


def _odd(source: str, document: Any, options: Options, taken: set[str]) -> Draft:
    draft = opened(source, "job", options, taken)
    return drafted(draft, (lambda: _not_an_object(document),))


def _not_an_object(document: Any) -> None:
    as_object(document, "the document")


def _convert(cron_job: dict[str, Any], source: str, options: Options, taken: set[str]) -> Draft:
    meta = cron_job.get("metadata")
    found = meta if isinstance(meta, dict) else {}
    space, name = found.get("namespace"), str(found.get("name") or "job")
    wanted = full_name(space, name)
    draft = opened(f"{source} {shown(wanted)}", wanted, options, taken)

    def steps() -> None:
        spec = object_at(cron_job, "spec")
        _schedule(draft, spec, _since(cron_job))
        _labels(draft, object_at(cron_job, "metadata"))
        _target(draft, object_at(spec, "jobTemplate", "spec"), name, space)
        _policy(draft, spec)
        _missed(draft, spec)
        if flag_at(spec, "suspend", "spec"):
            draft.switched_off("it is suspended")

    return drafted(draft, (steps,))


def _since(cron_job: dict[str, Any]) -> datetime | None:
    """Return what the controller counts from: the last start, or the creation."""
    status, meta = object_at(cron_job, "status"), object_at(cron_job, "metadata")
    found = status.get("lastScheduleTime") or meta.get("creationTimestamp")
    if isinstance(found, datetime):
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None if found is None else instant_of(found, "lastScheduleTime")


def _schedule(draft: Draft, spec: dict[str, Any], since: datetime | None) -> None:
    text, prefixed = split_zone(needed_text(spec, "schedule", "spec"))
    given = text_at(spec, "timeZone", "spec")
    if prefixed:
        draft.differs("timezone", f"the zone {prefixed} within the schedule was never official")
    if text.startswith("@every"):
        take_every(draft, text, "Kubernetes", since)
        return
    place = given or prefixed
    set_zone(draft, place, system="Kubernetes", default="the zone of kube-controller-manager")
    draft.schedule["cron"] = convert(draft, KUBERNETES, text)
    settle(draft, "elapsed", "Kubernetes")
    tell_search(draft)


def _labels(draft: Draft, meta: dict[str, Any]) -> None:
    if space := text_at(meta, "namespace", "metadata"):
        draft.policy(labels={"kubernetes/namespace": space[:256]})


def _target(draft: Draft, template: dict[str, Any], name: str, space: Any) -> None:
    job = object_at(template, "spec")
    pod = object_at(object_at(job, "template"), "spec")
    body: dict[str, Any] = {"cronjob": name, "namespace": str(space or "default")}
    containers = [as_object(one, "a container") for one in list_at(pod, "containers")]
    body["containers"] = [
        {key: one[key] for key in ("name", "image", "command", "args") if key in one}
        for one in containers
    ]
    by_template(draft, "a pod", body)
    for one in containers:
        if one.get("env") or one.get("envFrom"):
            draft.differs("environment", "variables of containers are not in the body")
            break
    seconds = number_at(job, "activeDeadlineSeconds")
    if seconds is not None and draft.target:
        draft.target["timeout"] = duration(max(1, min(seconds, _TIMEOUT_MAX_SECONDS)))
        if seconds <= _TIMEOUT_MAX_SECONDS:
            draft.same("timeout", f"a run may take {seconds} s, as activeDeadlineSeconds says")
    _retry(draft, job)


def _retry(draft: Draft, job: dict[str, Any]) -> None:
    limit = number_at(job, "backoffLimit")
    tries = (_BACKOFF_LIMIT if limit is None else limit) + 1
    if tries < 1:
        raise Unfit("shape", "backoffLimit is less than 0")
    draft.policy(
        retry={
            "max_attempts": min(tries, _ATTEMPTS_MAX),
            "initial_delay": "10s",
            "multiplier": 2,
            "max_delay": "6m",
            "jitter": "none",
        }
    )
    if tries == 1:
        draft.spec["retry"] = {"max_attempts": 1}
        draft.same("retry", "a failed run is not tried again, as backoffLimit 0 says")
        return
    draft.differs(
        "retry",
        f"{min(tries, _ATTEMPTS_MAX)} attempts 10 s, 20 s, 40 s to 6 min apart as there; but here"
        " they end before the next occurrence, unless retry.deadline says otherwise",
    )


def _policy(draft: Draft, spec: dict[str, Any]) -> None:
    named = text_at(spec, "concurrencyPolicy", "spec") or "Allow"
    if named not in _POLICIES:
        raise Unfit("overlap", f"concurrencyPolicy '{shown(named)}' is none of Kubernetes'")
    draft.policy(overlap=_POLICIES[named])
    if named == "Forbid":
        draft.differs(
            "overlap",
            "a run that finds another is skipped; Kubernetes starts it later, once that one is"
            " over, where startingDeadlineSeconds lets it: overlap 'queue' is nearer to that",
        )
    else:
        draft.same("overlap", f"concurrencyPolicy {named} is overlap '{_POLICIES[named]}'")
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if number_at(spec, key, "spec") is not None:
            draft.differs(
                "history", f"{key} counts jobs; history is kept for days here (retention)"
            )


def _missed(draft: Draft, spec: dict[str, Any]) -> None:
    seconds = number_at(spec, "startingDeadlineSeconds", "spec")
    if seconds is None:
        draft.policy(misfire={"policy": "once", "max_lateness": _LATENESS_MAX})
        draft.differs(
            "missed",
            "the latest of what was missed is made up for, as in Kubernetes; but that gives up"
            f" after 100 missed times, and this after {_LATENESS_MAX}",
        )
        return
    if seconds < 0:
        raise Unfit("shape", "startingDeadlineSeconds is less than 0")
    deadline = duration(seconds)
    if seconds <= _GRACE_SECONDS:
        draft.policy(misfire={"policy": "skip", "grace": deadline})
    else:
        draft.policy(misfire={"policy": "once", "max_lateness": deadline})
    draft.same("missed", f"the latest of what was missed is made up for within {deadline}")
    if seconds < _LOOK_SECONDS:
        draft.differs(
            "missed", "Kubernetes looks every 10 s, so that below that it may never start one"
        )
