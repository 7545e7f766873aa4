"""A job as a file has it: without what the service keeps and what is as by default.

Promises one form for equal jobs: the order of the members is the API's, that of labels by name, and
that of jobs by theirs.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from scheduler_svc.cli.files.jobs_file import VERSION
from scheduler_svc.cli.files.writing import written
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.ownership import OWNER_LABEL

_BARE = b'{"schedule": {"every": "1h"}, "target": {"url": "x"}}'
_OWN = {"schedule": ("every",), "target": ("url",)}
"""What the smallest job has to say itself."""


def _defaults() -> dict[str, Any]:
    bare: dict[str, Any] = json.loads(
        msgspec.json.encode(msgspec.json.decode(_BARE, type=Definition))
    )
    for part, names in _OWN.items():
        for name in names:
            del bare[part][name]
    return bare | {"retention": None}


_DEFAULTS = _defaults()
_ORDER = Definition.__struct_fields__


def canonical(job: dict[str, Any], owner: str | None = None) -> dict[str, Any]:
    """Return what a file says of a job, from what the API does."""
    made = {name: job[name] for name in _ORDER if name in job}
    for name, default in _DEFAULTS.items():
        if name in made and made[name] == default:
            del made[name]
        elif isinstance(made.get(name), dict) and isinstance(default, dict):
            made[name] = {
                key: value
                for key, value in made[name].items()
                if key not in default or value != default[key]
            }
    labels = dict(sorted(made.get("labels", {}).items()))
    if owner is not None and labels.get(OWNER_LABEL) == owner:
        del labels[OWNER_LABEL]
    if labels:
        made["labels"] = labels
    else:
        made.pop("labels", None)
    return made


def as_document(jobs: Iterable[dict[str, Any]], owner: str | None) -> dict[str, Any]:
    """Return a file of jobs, given as the API has them, in the order of their names."""
    made = sorted((canonical(job, owner) for job in jobs), key=lambda job: str(job["name"]))
    kept = {} if owner is None else {"owner": owner}
    return {"version": VERSION, **kept, "jobs": made}


def as_yaml(document: dict[str, Any]) -> str:
    """Write a file of jobs, with a line between two of them."""
    head = {name: value for name, value in document.items() if name != "jobs"}
    if not document["jobs"]:
        return written(document)
    jobs = "\n".join(written([job]) for job in document["jobs"])
    return f"{written(head)}jobs:\n{jobs}"
