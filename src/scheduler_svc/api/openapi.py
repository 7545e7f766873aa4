"""The OpenAPI 3.1 document, made from the routes and the types they name; nothing is written twice.

Promises stable names: operation ids from the routes, schema names from the structs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from scheduler_svc.api.openapi_enums import named
from scheduler_svc.api.openapi_parts import (
    HEADERS,
    INFO,
    PATH_PARAMETERS,
    REPLAYED_HEADER,
    RESPONSE_HEADERS,
    SCHEMA_NAMES,
    SECURITY_SCHEMES,
    TAGS,
)
from scheduler_svc.api.openapi_patch import patch_of
from scheduler_svc.api.problems import PROBLEM_JSON, Problem
from scheduler_svc.api.route import (
    IDEMPOTENCY_KEY,
    Answer,
    Body,
    Patch,
    QueryParam,
    Route,
)

Json = dict[str, Any]
_IN_PATH = re.compile(r"\{(\w+)\}")


def document(routes: Sequence[Route], *, version: str, public_url: str | None = None) -> Json:
    """Return the document of these routes, but for the hidden ones."""
    shown = [route for route in routes if not route.hidden]
    schemas = _Schemas(shown)
    paths: dict[str, Json] = {}
    for route in shown:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    used = {route.tag for route in shown}
    return {
        "openapi": "3.1.0",
        "info": {**INFO, "version": version},
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS if name in used],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {
                _response_name(status): _problem(status, schemas)
                for status in sorted({code for route in shown for code in _problems_of(route)})
            },
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


class _Schemas:
    """The schema of every type that the routes name, by type."""

    def __init__(self, routes: Sequence[Route]) -> None:
        types = [Problem]
        types += [one for route in routes for shape in _types_of(route) for one in _each(shape)]
        made, components = msgspec.json.schema_components(
            types, ref_template="#/components/schemas/{name}"
        )
        sets: dict[str, Json] = {}
        self._pairs = [
            (shape, named(_renamed(schema), sets))
            for shape, schema in zip(types, made, strict=True)
        ]
        self.components = {
            SCHEMA_NAMES.get(name, name): {
                **_tidy(named(_renamed(schema), sets)),
                "title": SCHEMA_NAMES.get(name, name),
            }
            for name, schema in components.items()
        } | sets

    def of(self, shape: Any) -> Json:
        if isinstance(shape, Patch):
            return patch_of(self.of(shape.of), self.components)
        if isinstance(shape, tuple):
            return {"anyOf": [self.of(one) for one in shape]}
        found: Json = next(schema for known, schema in self._pairs if known is shape)
        return found


def _each(shape: Any) -> tuple[Any, ...]:
    if isinstance(shape, Patch):
        return (shape.of,)
    return shape if isinstance(shape, tuple) else (shape,)


def _types_of(route: Route) -> Iterator[Any]:
    if route.body is not None:
        yield route.body.type
    yield from (answer.type for answer in route.answers.values() if answer.type is not None)
    yield from (param.type for param in route.params)


def _renamed(schema: Any) -> Any:
    """Let references follow the names of SCHEMA_NAMES."""
    if isinstance(schema, dict):
        return {
            key: _reference(value) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
        }
    return [_renamed(value) for value in schema] if isinstance(schema, list) else schema


def _reference(text: str) -> str:
    folder, _, name = text.rpartition("/")
    return f"{folder}/{SCHEMA_NAMES.get(name, name)}"


def _tidy(schema: Json) -> Json:
    """Leave out the empty `required` that msgspec writes."""
    return {key: value for key, value in schema.items() if key != "required" or value}


def _operation(route: Route, schemas: _Schemas) -> Json:
    operation: Json = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [route.tag],
    }
    needed = "" if route.needs == "open" else f"Needs the scope `{route.needs}`."
    if text := " ".join(filter(None, (route.description, needed))):
        operation["description"] = text
    if route.security:
        operation["security"] = [{name: []} for name in route.security]
    elif route.needs == "open":
        operation["security"] = []
    if parameters := _parameters(route, schemas):
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = _body(route.body, schemas)
    responses = {str(status): _answer(answer, schemas) for status, answer in route.answers.items()}
    if route.takes_key:
        for made in {"201", "202"} & set(responses):
            responses[made]["headers"] |= REPLAYED_HEADER
    for status in _problems_of(route):
        responses[str(status)] = {"$ref": f"#/components/responses/{_response_name(status)}"}
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _parameters(route: Route, schemas: _Schemas) -> list[Json]:
    in_path = [
        {"name": name, "in": "path", "required": True, **_path_parameter(route.path, name)}
        for name in _IN_PATH.findall(route.path)
    ]
    in_query = [_query_parameter(param, schemas.of(param.type)) for param in route.params]
    in_header = [
        {
            "name": header.name,
            "in": "header",
            "description": header.description,
            "schema": {"type": "string", "maxLength": header.length_max},
        }
        for header in (*route.headers, *((IDEMPOTENCY_KEY,) if route.takes_key else ()))
    ]
    return [*in_path, *in_query, *in_header]


def _path_parameter(path: str, name: str) -> Json:
    for beginning, parameter in PATH_PARAMETERS.items():
        if path.startswith(beginning):
            return parameter
    return {"schema": {"type": "string", "minLength": 1}, "description": f"The {name}."}


def _query_parameter(param: QueryParam, schema: Json) -> Json:
    if param.repeated:
        schema = {"type": "array", "items": schema}
    elif param.default is not None:
        schema = {**schema, "default": msgspec.to_builtins(param.default)}
    parameter: Json = {"name": param.name, "in": "query", "schema": schema}
    if param.required:
        parameter["required"] = True
    if param.description:
        parameter["description"] = param.description
    if param.example is not None:
        parameter["example"] = msgspec.to_builtins(param.example)
    return parameter


def _body(body: Body, schemas: _Schemas) -> Json:
    content: Json = {"schema": schemas.of(body.type)}
    if body.examples:
        content["examples"] = {
            name: {"summary": name.replace("_", " "), "value": value}
            for name, value in body.examples.items()
        }
    return {
        "required": body.required,
        "content": dict.fromkeys(body.media_types, content),
    }


def _answer(answer: Answer, schemas: _Schemas) -> Json:
    response: Json = {
        "description": answer.description,
        "headers": {**RESPONSE_HEADERS, **_headers(answer.headers)},
    }
    if answer.type is not None and not answer.media_type.startswith("text/"):
        content: Json = {"schema": schemas.of(answer.type)}
        if answer.example is not None:
            content["example"] = answer.example
        response["content"] = {answer.media_type: content}
    elif answer.media_type.startswith("text/"):
        response["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    return response


def _headers(described: Mapping[str, str]) -> Json:
    return {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in described.items()
    }


def _problems_of(route: Route) -> list[int]:
    """Which refusals an operation may answer with, the frame's own among them."""
    found = {421, 500, *route.refusals}
    if route.needs != "open":
        found |= {401, 403, 429}
    if route.tag not in {"service", "pages"}:
        found.add(503)
    if route.body is not None:
        found |= {400, 413, 415, 422}
    # An unknown parameter is refused everywhere, so each operation has its 422.
    found.add(422)
    return sorted(found - set(route.answers))


def _response_name(status: int) -> str:
    return "".join(word.capitalize() for word in _phrase(status).split())


def _problem(status: int, schemas: _Schemas) -> Json:
    headers = dict(RESPONSE_HEADERS)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWWAuthenticate"}
    waits = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
    if status in waits:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return {
        "description": f"{_phrase(status)}.",
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": schemas.of(Problem)}},
    }


def _phrase(status: int) -> str:
    """Name a status in words that no Python version changes."""
    renamed = {413: "Content Too Large", 422: "Unprocessable Content"}
    return renamed.get(status, HTTPStatus(status).phrase)
