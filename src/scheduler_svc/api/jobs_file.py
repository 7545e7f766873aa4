"""GET /schemas/jobs-file.json: the JSON Schema of a file of jobs, for editors.

Promises what the API promises of a job, made of the same structs. It judges shapes: whether an
expression ever matches, only the service can tell.
"""

from functools import lru_cache
from typing import Any

import msgspec

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.openapi_patch import patch_of
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.domain.jobs import NAME_PATTERN, Definition
from scheduler_svc.domain.ownership import OWNER_PATTERN

Json = dict[str, Any]
PATH = "/schemas/jobs-file.json"
_FOLDER, _HERE = "#/components/schemas/", "#/$defs/"


@lru_cache(maxsize=1)
def schema() -> bytes:
    """Return the schema, made once."""
    return msgspec.json.format(msgspec.json.encode(_document()), indent=2)


async def get_schema(_call: Call) -> Reply:
    """Answer with the schema."""
    return Reply(body=schema(), media_type="application/schema+json")


def _document() -> Json:
    """Make the schema: a job in a file is a merge patch of a job, laid over the defaults."""
    _, components = msgspec.json.schema_components([Definition], ref_template=f"{_FOLDER}{{name}}")
    patch = patch_of({"$ref": f"{_FOLDER}Definition"}, components)["$ref"].removeprefix(_FOLDER)
    partial = components.pop(patch)
    job = {
        **partial,
        "title": "Job",
        "description": "A job; what `defaults` say it need not say again, null takes that away.",
        "required": ["name"],
        "properties": {
            **partial["properties"],
            "name": {"type": "string", "pattern": NAME_PATTERN},
        },
    }
    defaults = {
        **partial,
        "title": "Defaults",
        "description": "A part of a job, laid under each of them (RFC 7396).",
        "properties": {
            name: part for name, part in partial["properties"].items() if name != "name"
        },
    }
    made = _moved(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:scheduler-svc:jobs-file:1",
            "title": "A file of jobs",
            "description": "What `scheduler-svc apply` reads and `export` writes.",
            "type": "object",
            "required": ["version", "jobs"],
            "additionalProperties": False,
            "properties": {
                "version": {"const": 1},
                "owner": {
                    "type": "string",
                    "pattern": OWNER_PATTERN,
                    "description": "Who keeps these jobs: `--prune` deletes only its own.",
                },
                "defaults": {"$ref": f"{_FOLDER}Defaults"},
                "jobs": {"type": "array", "items": {"$ref": f"{_FOLDER}Job"}},
            },
            "$defs": {"Job": job, "Defaults": defaults, **components},
        }
    )
    return {**made, "$defs": _reached(made)}


def _moved(schema: Any) -> Any:
    """Let references point into the document itself."""
    if isinstance(schema, dict):
        return {
            key: value.replace(_FOLDER, _HERE) if key == "$ref" else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(value) for value in schema] if isinstance(schema, list) else schema


def _reached(made: Json) -> Json:
    """Leave out the parts that nothing refers to."""
    parts, found = made["$defs"], set[str]()
    waiting = _named({name: part for name, part in made.items() if name != "$defs"})
    while waiting:
        found |= waiting
        waiting = set().union(*(_named(parts[name]) for name in waiting)) - found
    return {name: part for name, part in sorted(parts.items()) if name in found}


def _named(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["$ref"].removeprefix(_HERE)} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(_named, schema.values()))
    return set().union(*map(_named, schema)) if isinstance(schema, list) else set()


ROUTES = (
    Route(
        method="GET",
        path=PATH,
        handler=get_schema,
        operation_id="get_jobs_file_schema",
        summary="The JSON Schema of a file of jobs",
        description="For editors: `# yaml-language-server: $schema=` and this address.",
        tag="service",
        answers={
            200: Answer(
                description="A JSON Schema, draft 2020-12.",
                type=dict[str, msgspec.Raw],
                media_type="application/schema+json",
            )
        },
        scope="open",
    ),
)
