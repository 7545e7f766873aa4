"""What is masked: header names that say so, and parts of JSON by pointer."""

from typing import Any

import pytest

from scheduler_svc.domain.redaction import is_secret, mask_parts, redaction_of, steps_of

M = "***"


def masked(document: Any, *pointers: str) -> Any:
    return mask_parts(document, [steps_of(pointer) for pointer in pointers])


@pytest.mark.parametrize(
    ("document", "pointer", "expected"),
    [
        ({"a": 1, "b": 2}, "/a", {"a": M, "b": 2}),
        ({"a": {"b": [1, {"c": 2}]}}, "/a/b/1/c", {"a": {"b": [1, {"c": M}]}}),
        ({"a": {"b": 1}}, "/a", {"a": M}),
        ({"a": 1}, "", M),
        ([1, 2, 3], "/1", [1, M, 3]),
        ([1, 2, 3], "/*", [M, M, M]),
        ({"a": 1, "b": {"c": 2}}, "/*", {"a": M, "b": M}),
        ({"i": [{"t": 1, "x": 2}, {"t": 3}, 4]}, "/i/*/t", {"i": [{"t": M, "x": 2}, {"t": M}, 4]}),
        ({"u": {"k": {"t": 1}, "l": {"t": 2}}}, "/u/*/t", {"u": {"k": {"t": M}, "l": {"t": M}}}),
        ({"*": 1, "a": 2}, "/*", {"*": M, "a": M}),
        ({"a/b": 1, "a~b": 2, "~1": 3}, "/a~1b", {"a/b": M, "a~b": 2, "~1": 3}),
        ({"a/b": 1, "a~b": 2, "~1": 3}, "/a~0b", {"a/b": 1, "a~b": M, "~1": 3}),
        ({"a/b": 1, "a~b": 2, "~1": 3}, "/~01", {"a/b": 1, "a~b": 2, "~1": M}),
        ({"": 1, "a": {"": 2}}, "/", {"": M, "a": {"": 2}}),
        ({"": 1, "a": {"": 2}}, "/a/", {"": 1, "a": {"": M}}),
        ({"0": 1}, "/0", {"0": M}),
        # What is not there is no fault: answers differ.
        ({"a": 1}, "/b/c", {"a": 1}),
        ({"a": 1}, "/a/b", {"a": 1}),
        ([1], "/1", [1]),
        ([1, 2], "/01", [1, 2]),
        ([1, 2], "/-1", [1, 2]),
        ([1, 2], "/-", [1, 2]),
        ([1, 2], "/\u0661", [1, 2]),
        ([1, 2], "/9999999999999999999", [1, 2]),
        ("text", "/0", "text"),
        (None, "/a", None),
        (None, "", M),
    ],
)  # fmt: skip
def test_a_pointer_masks_what_it_names_and_nothing_else(
    document: Any, pointer: str, expected: Any
) -> None:
    assert masked(document, pointer) == expected


def test_pointers_may_overlap() -> None:
    document = {"a": {"b": 1, "c": 2}}
    assert masked(document, "/a/b", "/a", "/a/c") == {"a": M}


@pytest.mark.parametrize(
    ("pointer", "part"),
    [
        ("a", "begin with a slash"),
        ("$.a", "begin with a slash"),
        ("#/a", "begin with a slash"),
        ("/~", "~0"),
        ("/a~2", "~0"),
        ("/" + "a" * 512, "at most 512"),
    ],
)
def test_what_is_no_pointer_says_why(pointer: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        steps_of(pointer)


def test_headers_that_carry_secrets_are_known_by_their_names() -> None:
    for name in (
        "authorization", "proxy-authorization", "cookie", "set-cookie", "set-cookie2",
        "proxy-authenticate", "authentication-info", "x-api-key", "x-auth-token", "x_api_key",
        "x-amz-security-token", "api-key", "apikey", "x-apikey", "token", "key", "client-secret",
        "x-db-password", "x-session",
    ):  # fmt: skip
        assert is_secret(name), name
    for name in (
        "content-type", "idempotency-key", "x-keys-left", "x-monkey", "x-tokens-left", "location",
        "www-authenticate", "retry-after", "x-request-id", "key-id", "x-notasecret",
    ):  # fmt: skip
        assert not is_secret(name), name


def test_a_target_adds_names_in_any_case() -> None:
    assert redaction_of(["X-Account", "x-b"], []).headers == {"x-account", "x-b"}
