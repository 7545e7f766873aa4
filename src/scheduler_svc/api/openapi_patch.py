"""The schema of a merge patch (RFC 7396), made from the schema of what it patches.

Every member may be left out, and every member that has a default may be null.
"""

from typing import Any

Json = dict[str, Any]
SUFFIX = "Patch"
_FOLDER = "#/components/schemas/"
_NULL: Json = {"type": "null"}


def patch_of(reference: Json, components: dict[str, Json]) -> Json:
    """Add the patch of a referred schema, and of those within, to the components; refer to it."""
    name = _name(reference)
    made = _patch_name(name)
    if made not in components:
        whole = components[name]
        components[made] = {}  # holds the place while what is within is made
        components[made] = {
            "title": made,
            "type": "object",
            "description": f"A merge patch of {name}; null restores the default.",
            "properties": {
                key: _member(schema, key in whole.get("required", ()), components)
                for key, schema in whole["properties"].items()
            },
            "additionalProperties": False,
        }
    return {"$ref": f"{_FOLDER}{made}"}


def _member(schema: Json, required: bool, components: dict[str, Json]) -> Json:  # noqa: FBT001
    """Return a member's schema in a patch: no default, for leaving it out changes nothing."""
    patched = {key: value for key, value in schema.items() if key != "default"}
    if "$ref" in patched and "properties" in components[_name(patched)]:
        patched = patch_of(patched, components)
    elif isinstance(values := patched.get("additionalProperties"), dict):
        patched["additionalProperties"] = _nullable(values)
    return patched if required else _nullable(patched)


def _nullable(schema: Json) -> Json:
    """Let a schema take null too; one that says nothing of types takes it already."""
    if not {"type", "$ref", "anyOf", "enum"} & set(schema):
        return schema
    choices = schema.get("anyOf", [schema])
    if _NULL in choices:
        return schema
    rest = schema if "anyOf" in schema else {}
    return {**rest, "anyOf": [*choices, _NULL]}


def _name(reference: Json) -> str:
    text: str = reference["$ref"]
    return text.removeprefix(_FOLDER)


def _patch_name(name: str) -> str:
    return "JobPatch" if name == "JobDefinition" else f"{name}{SUFFIX}"
