"""What a target gives back of a secret is masked, however it is usually quoted; nothing else is."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.delivery.redaction import credentials, needles, redacted

SECRET = 'ca"n<a&r y/ü'
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=20)


def body_of(body: bytes, *secrets: str, truncated: bool = False) -> bytes:
    exchange = Exchange("ok", status_code=200, body=body, truncated=truncated)
    return redacted(exchange, needles(secrets)).body


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        html.escape(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_as_it_is_usually_quoted(spelled: str) -> None:
    assert b"***" in body_of(f"before {spelled} after".encode(), SECRET)
    assert spelled.encode() not in body_of(f"before {spelled} after".encode(), SECRET)


@given(value=VALUES, before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_no_secret_of_six_bytes_survives(value: str, before: bytes, after: bytes) -> None:
    assert value.encode() not in body_of(before + value.encode() + after, value)


@given(value=st.text(st.sampled_from("abcdefgh"), min_size=10, max_size=30), cut=st.integers(3, 29))
def test_the_beginning_of_a_secret_that_the_cap_cut_off_is_masked(value: str, cut: int) -> None:
    part = value[: min(cut, len(value) - 1)].encode()
    assert body_of(b"<<<" + part, value, truncated=True) == b"<<<***"
    assert body_of(b"<<<" + part, value) == b"<<<" + part


def test_the_longer_of_two_goes_first_and_short_values_are_left() -> None:
    assert (
        body_of(b"canary-long canary short", "canary", "canary-long", "short") == b"*** *** short"
    )


def test_headers_and_error_are_masked_too() -> None:
    exchange = Exchange(
        "ok", headers=[("X-Echo", "a canary b"), ("X-ü", "\xfc")], error="it said canary"
    )
    cleaned = redacted(exchange, needles(["canary"]))
    assert cleaned.headers == [("X-Echo", "a *** b"), ("X-ü", "\xfc")]
    assert cleaned.error == "it said ***"
    assert redacted(exchange, ()) is exchange


@pytest.mark.parametrize(
    ("value", "within"),
    [
        ("Bearer canary", {"Bearer canary", "canary"}),
        ("Basic " + base64.b64encode(b"me:canary").decode(), {"canary"}),
        ("a=canary; b=other", {"canary", "other"}),
        ("canary", {"canary"}),
    ],
)
def test_the_parts_of_a_credential_are_secrets_as_well(value: str, within: set[str]) -> None:
    assert within <= set(credentials(value))
