"""Query strings: what a route names is read by its type, everything else is refused."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import pytest
from msgspec import Meta

from scheduler_svc.api import query
from scheduler_svc.api.route import QueryParam
from scheduler_svc.domain.errors import Invalid

PARAMS = (
    QueryParam(name="limit", type=Annotated[int, Meta(ge=1, le=500)], default=50),
    QueryParam(name="state", type=Literal["active", "paused"]),
    QueryParam(name="label", repeated=True),
    QueryParam(name="since", type=Annotated[datetime, Meta(tz=True)]),
    QueryParam(name="dry_run", type=bool, default=False),
    QueryParam(name="job_id", type=UUID),
    QueryParam(name="q", type=Annotated[str, Meta(max_length=10)]),
)
DEFAULTS: dict[str, object] = {
    "limit": 50,
    "state": None,
    "label": [],
    "since": None,
    "dry_run": False,
    "job_id": None,
    "q": None,
}


def test_what_is_not_given_has_its_default() -> None:
    assert query.parse(b"", PARAMS) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (b"limit=500", "limit", 500),
        (b"state=paused", "state", "paused"),
        (b"label=a%3Ab&label=c:d", "label", ["a:b", "c:d"]),
        (b"since=2030-01-01T00:00:00Z", "since", datetime.fromisoformat("2030-01-01T00:00:00Z")),
        (b"dry_run=true", "dry_run", True),
        (b"q=%C3%BC+x", "q", "ü x"),
        (b"q=", "q", ""),
        (
            b"job_id=01980000-0000-7000-8000-000000000000",
            "job_id",
            UUID("01980000-0000-7000-8000-000000000000"),
        ),
    ],
)
def test_a_value_is_read_by_its_type(text: bytes, name: str, value: object) -> None:
    assert query.parse(text, PARAMS) == {**DEFAULTS, name: value}


def test_an_offset_whose_plus_was_not_encoded_is_understood() -> None:
    read = query.parse(b"since=2030-01-01T00:00:00+02:00", PARAMS)["since"]
    assert read == datetime.fromisoformat("2030-01-01T00:00:00+02:00")


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (b"limt=1", "limt", "did you mean 'limit'?"),
        (b"Limit=1", "Limit", "did you mean 'limit'?"),
        (b"limit=0", "limit", "must be from 1 to 500"),
        (b"limit=1_0", "limit", "a whole number"),
        (b"limit=%D9%A3", "limit", "a whole number"),
        (b"limit=" + b"9" * 400, "limit", "a whole number"),
        (b"limit=", "limit", "a whole number"),
        (b"limit=1&limit=2", "limit", "only once"),
        (b"state=", "state", "must be one of active, paused"),
        (b"state=pausd", "state", "did you mean 'paused'?"),
        (b"dry_run=1", "dry_run", "true or false"),
        (b"dry_run=True", "dry_run", "true or false"),
        (b"since=yesterday", "since", "RFC 3339"),
        (b"since=2030-01-01T00:00:00", "since", "offset"),
        (b"job_id=x", "job_id", "must be an id"),
        (b"q=%00", "q", "NUL"),
        (b"q=12345678901", "q", "at most 10"),
        (b"q=%ff", "", "UTF-8"),
        (b"q=\xff", "", "UTF-8"),
        (b"label=%ED%A0%80", "", "UTF-8"),
        (b"label=x&" * 300, "", "more than 200"),
    ],
)
def test_a_fault_names_its_parameter(text: bytes, name: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        query.parse(text, PARAMS)
    (fault,) = caught.value.faults
    assert fault.parameter == name
    assert words in fault.detail


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        query.parse(b"limit=0&stat=x&since=now", PARAMS)
    assert {fault.parameter for fault in caught.value.faults} == {"limit", "stat", "since"}
