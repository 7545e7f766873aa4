"""Sets of words as schemas of their own, under one name wherever they occur.

Promises that what is generated from the document has one type for each set, and that every set
says that its words are strings: without it generators make `unknown` and `any` of them.
"""

from collections.abc import Mapping
from typing import Any, get_args

from scheduler_svc.domain.access import Scope
from scheduler_svc.domain.arming import Missed
from scheduler_svc.domain.backfills import BackfillStatus
from scheduler_svc.domain.jobs import JobState, Method, Overlap
from scheduler_svc.domain.runs import AttemptOutcome, CompletionStatus, RunStatus, Trigger

Json = dict[str, Any]
NAMES: Mapping[str, Any] = {
    "AttemptOutcome": AttemptOutcome,
    "CompletionStatus": CompletionStatus,
    "JobState": JobState,
    "Method": Method,
    "MissedPolicy": Missed,
    "Overlap": Overlap,
    "ProgressStatus": BackfillStatus,
    "RunStatus": RunStatus,
    "RunTrigger": Trigger,
    "Scope": Scope,
}
_BY_WORDS = {frozenset(get_args(words)): name for name, words in NAMES.items()}


def named(schema: Any, components: dict[str, Json]) -> Any:
    """Let each set that has a name refer to it, and add those to the components."""
    if isinstance(schema, list):
        return [named(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "enum" not in schema:
        return {key: named(one, components) for key, one in schema.items()}
    words = schema["enum"]
    if not all(isinstance(word, str) for word in words):
        return schema
    name = _BY_WORDS.get(frozenset(words))
    if name is None:
        return {"type": "string", **schema}
    components.setdefault(name, {"title": name, "type": "string", "enum": words})
    return {"$ref": f"#/components/schemas/{name}"} | {
        key: one for key, one in schema.items() if key != "enum"
    }
