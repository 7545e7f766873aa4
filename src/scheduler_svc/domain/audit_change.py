"""What a change changed: documents without their secrets, and the difference between two.

Promises that the value of a secret is in neither, whether it is sealed or not; that a secret which
was replaced shows as changed; and a bound on the size of what is kept. Pure.
"""

from hashlib import sha256
from typing import Any

from msgspec import json, structs, to_builtins

from scheduler_svc.domain.audit import ENGINE, Action, Draft, Resource
from scheduler_svc.domain.jobs import Definition, Job
from scheduler_svc.domain.secrecy import MASK, change_target, masked_target, secrets_of

DOCUMENT_MAX = 8192
"""Bytes that one side of a change may have."""
PART_MAX = 512
"""Beyond it each part of a document is named by its size and digest instead."""
CHANGED = "*** (changed)"
Document = dict[str, Any]


def job_document(job: Job, other: Job | None = None) -> Document:
    """Write what a job is, secrets masked; one that `other` has another value of says so."""
    theirs = {} if other is None else dict(secrets_of(other.definition.target))

    def mask(where: str, value: str) -> str:
        return MASK if other is None or theirs.get(where) == value else CHANGED

    definition = structs.replace(job.definition, target=change_target(job.definition.target, mask))
    document: Document = _defined(definition)
    document["state"] = job.state
    document["revision"] = job.revision
    if job.pause is not None:
        document["pause"] = {
            name: value
            for name, value in to_builtins(job.pause).items()
            if value is not None and name != "recorded_until"
        }
    return document


def created_text(job: Job) -> str | None:
    """Write the new side of a job that was made: what `job_document` says, without the document."""
    definition = job.definition
    target = masked_target(definition.target)
    shown: Document = {
        name: value
        for name in definition.__struct_fields__
        if (value := getattr(definition, name)) != getattr(_BARE, name)
    }
    shown["target"] = {
        name: value
        for name in target.__struct_fields__
        if (value := getattr(target, name)) != getattr(_BARE.target, name) or name == "url"
    }
    text = json.encode(shown | {"state": job.state, "revision": job.revision})
    return text.decode() if len(text) <= DOCUMENT_MAX else text_of(job_document(job))


def resumed_by_engine(before: Job, after: Job) -> Draft:
    """Write that the pause of a job was over."""
    was, now = difference(job_document(before), job_document(after, before))
    return Draft(
        namespace=after.namespace,
        actor=ENGINE,
        action=Action.JOB_RESUMED,
        resource=job_resource(after),
        before=text_of(was),
        after=text_of(now),
    )


def job_resource(job: Job) -> Resource:
    """Name a job."""
    return Resource(kind="job", id=str(job.id), name=job.definition.name, job_id=job.id)


def _defined(definition: Definition) -> Document:
    """Leave out what nobody set: a default says nothing of who did what."""
    document: Document = json.decode(json.encode(definition))
    for name, default in _DEFAULTS.items():
        if document.get(name) == default:
            del document[name]
    target = document["target"]
    for name, default in _TARGET_DEFAULTS.items():
        if target.get(name) == default:
            del target[name]
    return document


def difference(before: Document, after: Document) -> tuple[Document, Document]:
    """Return both sides of what differs; the second one is a merge patch (RFC 7396).

    A member that only one side has is null on the other.
    """
    was: Document = {}
    now: Document = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            was[name], now[name] = difference(old, new)
        else:
            was[name], now[name] = old, new
    return was, now


def text_of(document: Document | None) -> str | None:
    """Write one side of a change, cut to its bound; nothing for a side without members."""
    if not document:
        return None
    text = json.encode(document)
    if len(text) > DOCUMENT_MAX:
        text = json.encode({name: _cut(value) for name, value in document.items()})
    if len(text) > DOCUMENT_MAX:
        text = json.encode(_omitted(json.encode(document)))
    # A text column holds no NUL, and JSON writes it as an escape that json accepts.
    return text.decode()


def _cut(value: Any) -> Any:
    """Put the size and a digest in the place of parts that are long."""
    text = json.encode(value)
    if len(text) <= PART_MAX:
        return value
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in value.items()}
    return _omitted(text)


def _omitted(text: bytes) -> Document:
    return {"omitted_bytes": len(text), "sha256": sha256(text).hexdigest()}


_BARE = json.decode(b'{"schedule": {"every": "1h"}, "target": {"url": ""}}', type=Definition)


def _defaults() -> tuple[Document, Document]:
    document = json.decode(json.encode(_BARE))
    target = document.pop("target")
    del target["url"], document["schedule"]
    return document, target


_DEFAULTS, _TARGET_DEFAULTS = _defaults()
