"""Tokens of callbacks: of one run and one attempt, under any key of the ring, and shown nowhere."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.completion import Callbacks, attempt_of, report_to, token

KEYS = st.binary(min_size=32, max_size=32)
ATTEMPTS = st.integers(1, 32767)


@given(KEYS, st.uuids(), ATTEMPTS)
def test_a_token_names_its_attempt(key: bytes, run: UUID, attempt: int) -> None:
    assert attempt_of((key,), run, token(key, run, attempt)) == attempt


@given(KEYS, KEYS, st.uuids(), st.uuids(), ATTEMPTS, ATTEMPTS)
def test_a_token_is_of_one_run_one_attempt_and_one_key(
    key: bytes, other_key: bytes, run: UUID, other_run: UUID, attempt: int, other: int
) -> None:
    given_out = token(key, run, attempt)
    if other_run != run:
        assert attempt_of((key,), other_run, given_out) is None
    if other_key != key:
        assert attempt_of((other_key,), run, given_out) is None
        assert attempt_of((other_key, key), run, given_out) == attempt
    if other != attempt:
        changed = given_out.replace(f"ct_{attempt}_", f"ct_{other}_", 1)
        assert attempt_of((key,), run, changed) is None


@given(st.text(max_size=200), st.uuids())
def test_no_text_however_odd_raises_or_passes(text: str, run: UUID) -> None:
    assert attempt_of((b"k" * 32,), run, text) is None
    assert attempt_of((b"k" * 32,), run, f"ct_1_{text}") is None


def test_without_keys_no_token_passes() -> None:
    run = UUID(int=7)
    assert attempt_of((), run, token(b"k" * 32, run, 1)) is None


def test_the_newest_key_signs_and_the_address_has_one_slash() -> None:
    run = UUID(int=7)
    callbacks = Callbacks(url="https://s.example/base/", keys=(b"n" * 32, b"o" * 32))
    report = report_to(callbacks, run, 2)
    assert report is not None
    assert report.url == f"https://s.example/base/runs/{run}/complete"
    assert report.token == token(b"n" * 32, run, 2)


def test_keys_are_not_shown() -> None:
    shown = repr(Callbacks(url="http://x", keys=(b"secret" * 6,)))
    assert "secret" not in shown
    assert "keys=1" in shown
