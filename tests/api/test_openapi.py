"""The OpenAPI document: valid, complete, and made of the very routes that answer."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from scheduler_svc.api import openapi, validate
from scheduler_svc.api.route import Patch, Route
from scheduler_svc.api.routes import ROUTES

DOCUMENT: dict[str, Any] = msgspec.json.decode(
    msgspec.json.encode(openapi.document(ROUTES, version="0.1.0"))
)
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def checker(schema: dict[str, Any]) -> Draft202012Validator:
    whole = {**schema, "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_but_the_hidden_is_in_it() -> None:
    described = {(method.upper(), path) for method, path, _ in OPERATIONS}
    assert described == {(route.method, route.path) for route in ROUTES if not route.hidden}


def test_operation_ids_are_unique_and_speakable() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)


def test_every_operation_has_a_summary_a_described_tag_and_a_success() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for _, path, operation in OPERATIONS:
        assert operation["summary"], path
        assert set(operation["tags"]) <= tags
        assert any(status < "400" for status in operation["responses"])


def test_a_set_of_words_is_of_strings_and_has_one_place() -> None:
    """Generators make `unknown` of one without a type, and a type of each place it occurs in."""
    found = [one for one in everything(DOCUMENT) if isinstance(one, dict) and "enum" in one]
    assert all(one["type"] == "string" for one in found)
    names = {"JobState", "Overlap", "RunStatus", "RunTrigger", "Scope", "AttemptOutcome"}
    sets = [frozenset(DOCUMENT["components"]["schemas"][name]["enum"]) for name in names]
    assert [one["enum"] for one in found if frozenset(one["enum"]) in sets] == [
        one["enum"]
        for one in DOCUMENT["components"]["schemas"].values()
        if one.get("enum") and frozenset(one["enum"]) in sets
    ]


def test_no_schema_takes_the_name_of_what_generators_make_themselves() -> None:
    taken = {"ApiClient", "ApiException", "ApiResponse", "Client", "Configuration", "Response"}
    assert taken.isdisjoint(DOCUMENT["components"]["schemas"])


def everything(value: Any) -> Iterator[Any]:
    yield value
    within = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for one in within:
            yield from everything(one)


def test_a_stream_is_text_and_what_its_events_hold_is_described() -> None:
    answers = DOCUMENT["paths"]["/events"]["get"]["responses"]["200"]["content"]
    assert answers == {"text/event-stream": {"schema": {"type": "string"}}}
    assert "at" in DOCUMENT["components"]["schemas"]["EventData"]["properties"]


def test_every_answer_names_the_request_id() -> None:
    for _, path, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            if reference := response.get("$ref"):
                response = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]  # noqa: PLW2901
            assert "X-Request-ID" in response["headers"], (path, status)


def test_every_operation_with_a_body_names_the_refusals_of_bodies_and_shows_an_example() -> None:
    for _, path, operation in OPERATIONS:
        if "requestBody" not in operation:
            continue
        assert {"400", "413", "415", "422"} <= set(operation["responses"])
        for content in operation["requestBody"]["content"].values():
            assert content.get("examples"), path


def test_every_example_fits_its_schema() -> None:
    shown = 0
    for _, path, operation in OPERATIONS:
        contents = list(operation.get("requestBody", {}).get("content", {}).values())
        for response in operation["responses"].values():
            contents += response.get("content", {}).values()
        for content in contents:
            examples = [one["value"] for one in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            for example in examples:
                shown += 1
                faults = [
                    fault.message for fault in checker(content["schema"]).iter_errors(example)
                ]
                assert faults == [], path
    assert shown > 0


@pytest.mark.parametrize(
    "route",
    [one for one in ROUTES if one.body is not None and not isinstance(one.body.type, Patch)],
    ids=lambda one: one.operation_id,
)
def test_every_example_of_a_body_is_accepted_by_its_type(route: Route) -> None:
    assert route.body is not None
    for example in route.body.examples.values():
        assert validate.examine(msgspec.json.encode(example), route.body.type).faults == []


def test_schema_names_are_readable() -> None:
    names = set(DOCUMENT["components"]["schemas"])
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in names)
    assert {"Job", "JobDefinition", "JobList", "Problem", "Schedule", "Target"} <= names


@pytest.mark.parametrize(
    ("patch", "fits"),
    [
        ({}, True),
        ({"name": None, "description": None}, True),
        ({"target": {"method": "PUT", "timeout": None, "headers": {"a": None}}}, True),
        ({"schedule": {"cron": None, "every": "1m"}}, True),
        ({"retry": None}, True),
        ({"labels": {"a": None}}, True),
        ({"schedule": None}, False),
        ({"target": {"method": "PUTT"}}, False),
        ({"nmae": "x"}, False),
        ({"target": {"urll": "x"}}, False),
    ],
)
def test_the_schema_of_a_patch_takes_parts_and_nulls(patch: object, *, fits: bool) -> None:
    schema = {"$ref": "#/components/schemas/JobPatch"}
    assert checker(schema).is_valid(patch) is fits


async def test_the_service_gives_it_out_as_it_is(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_a_public_url_becomes_the_server() -> None:
    made = openapi.document(ROUTES, version="1", public_url="https://api.example.test")
    assert made["servers"] == [{"url": "https://api.example.test"}]
