"""RFC 7396, and the exact bytes of what a patch leaves alone."""

import json

import pytest

from scheduler_svc.api import validate
from scheduler_svc.api.merge_patch import merge
from scheduler_svc.domain.errors import Invalid, Malformed
from scheduler_svc.domain.jobs import Definition


# The table of RFC 7396, appendix A, but for its patches that are no objects: we refuse those.
@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc_hold(original: object, patch: object, result: object) -> None:
    merged = merge(json.dumps(original).encode(), json.dumps(patch).encode())
    assert json.loads(merged) == result


def test_a_body_that_the_patch_leaves_alone_keeps_its_bytes() -> None:
    stored = b'{"target":{"url":"http://a.test","body":{"n": 1.50, "n2":1e2}},"priority":1}'
    merged = merge(stored, b'{"target": {"method": "PUT"}, "priority": null}')
    assert b'"body":{"n": 1.50, "n2":1e2}' in merged
    assert json.loads(merged) == {
        "target": {"url": "http://a.test", "body": {"n": 1.5, "n2": 100.0}, "method": "PUT"}
    }


@pytest.mark.parametrize("patch", [b"[]", b"null", b'"text"', b"1"])
def test_a_patch_that_is_no_object_is_refused(patch: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        merge(b"{}", patch)
    assert [fault.pointer for fault in caught.value.faults] == [""]


def test_a_patch_that_is_no_json_is_malformed() -> None:
    with pytest.raises(Malformed):
        merge(b"{}", b"{")


def test_unknown_names_in_a_patch_are_found_even_where_they_are_null() -> None:
    patch = {"target": {"urll": None, "method": None}, "state": None, "schedule": None}
    faults = validate.unknown_names(patch, Definition, read_only=frozenset({"state"}))
    assert [(fault.pointer, fault.code) for fault in faults] == [
        ("/target/urll", "unknown_field"),
        ("/state", "read_only"),
    ]
