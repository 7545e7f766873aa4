"""What an attempt means for its run, for every outcome and every status."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.outcome import (
    Failed,
    Retryable,
    Succeeded,
    Verdict,
    classify,
    retry_after_ms,
    status_matches,
    status_range,
)
from scheduler_svc.domain.runs import MOVES, UNFINISHED, AttemptOutcome, RunStatus

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
OUTCOMES: tuple[AttemptOutcome, ...] = get_args(AttemptOutcome)
RETRY_ON = (408, 425, 429, "5xx")


def _judge(outcome: AttemptOutcome, status: int | None, **headers: str) -> Verdict:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(outcome, status, lines, success=("2xx",), retry_on=RETRY_ON, now=NOW)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_success_status_succeeds(status: int) -> None:
    assert _judge("ok", status) == Succeeded()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_these_statuses_are_tried_again(status: int) -> None:
    assert _judge("ok", status) == Retryable(None)


@pytest.mark.parametrize("status", [301, 302, 304, 400, 401, 403, 404, 409, 422, 451])
def test_other_statuses_fail_at_once(status: int) -> None:
    assert _judge("ok", status) == Failed("status")


def test_410_is_the_end_also_where_it_is_named_for_a_retry() -> None:
    assert _judge("ok", 410) == Failed("gone")
    told = classify("ok", 410, {}, success=("2xx",), retry_on=(410,), now=NOW)
    assert told == Failed("gone")


def test_410_is_a_success_where_the_job_says_so() -> None:
    told = classify("ok", 410, {}, success=("2xx", 410), retry_on=(), now=NOW)
    assert told == Succeeded()


@pytest.mark.parametrize("value", ["true", "TRUE", " true "])
def test_the_target_may_forbid_a_retry(value: str) -> None:
    assert _judge("ok", 503, scheduler_no_retry=value) == Failed("no_retry")


def test_a_success_is_not_undone_by_a_header() -> None:
    assert _judge("ok", 200, scheduler_no_retry="true", retry_after="9") == Succeeded()


@pytest.mark.parametrize(
    "outcome", ["timeout", "connect_error", "tls_error", "protocol_error", "too_large", "lost"]
)
def test_faults_of_the_network_are_tried_again(outcome: AttemptOutcome) -> None:
    assert _judge(outcome, None) == Retryable()


def test_what_the_egress_guard_blocks_is_not_tried_again() -> None:
    assert _judge("blocked", None) == Failed("blocked")


@given(st.sampled_from(OUTCOMES), st.none() | st.integers(100, 599))
def test_every_outcome_has_a_verdict(outcome: AttemptOutcome, status: int | None) -> None:
    assert isinstance(_judge(outcome, status), Succeeded | Failed | Retryable)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_retry_after_counts_on_every_status_that_is_retried(status: int) -> None:
    assert _judge("ok", status, retry_after="120") == Retryable(120_000)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        ("0", 0),
        (" 7 ", 7_000),
        ("Mon, 05 Jan 2026 08:01:00 GMT", 60_000),
        ("Monday, 05-Jan-26 08:01:00 GMT", 60_000),
        ("Mon, 05 Jan 2026 07:00:00 GMT", 0),
        ("Mon Jan  5 08:01:00 2026", 60_000),  # RFC 9110: the oldest form is in GMT too
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str | None, wanted: int | None) -> None:
    assert retry_after_ms(value, NOW) == wanted


@given(st.text(max_size=40))
def test_no_retry_after_however_odd_raises(value: str) -> None:
    told = retry_after_ms(value, NOW)
    assert told is None or told >= 0


def test_a_retry_after_of_ages_stays_a_number_that_can_be_added_up() -> None:
    told = retry_after_ms("9" * 400, NOW)
    assert told is not None
    assert told <= 10**13


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [("2xx", (200, 299), (199, 300)), (404, (404,), (403, 405)), ("200-204", (200, 204), (205,))],
)
def test_rules_name_a_status_a_class_or_a_range(
    rule: int | str, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    assert all(status_matches(status, (rule,)) for status in inside)
    assert not any(status_matches(status, (rule,)) for status in outside)


@pytest.mark.parametrize("rule", ["6xx", "0xx", "abc", "20", "2000", "204-200", "200-", "-200", 99])
def test_a_rule_that_names_no_status_is_refused(rule: int | str) -> None:
    with pytest.raises(ValueError, match="'"):
        status_range(rule)


def test_nothing_leaves_a_final_state_and_every_state_is_known() -> None:
    assert set(MOVES) == set(get_args(RunStatus))
    assert {status for status, following in MOVES.items() if following} == UNFINISHED
    assert all(following <= set(MOVES) for following in MOVES.values())
