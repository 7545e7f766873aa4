"""What a key may have: rates that no window exceeds, breakers that trip, grants within limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.jobs import Target
from scheduler_svc.domain.pressure import (
    Breaker,
    BreakerRules,
    Ceiling,
    Key,
    KeyState,
    Tally,
    grant,
    key_fault,
    key_of,
    lay_out,
    weigh,
)

NOW = 1_767_600_000_000
KEY = Key("default", "k")
NONE = Ceiling()


def _grant(state: KeyState | None, default: Ceiling = NONE, running: int = 0) -> Any:
    return grant(state, default, running=running, now_ms=NOW, lookahead_ms=1000)


def test_the_key_is_the_one_that_the_target_names_or_else_its_host() -> None:
    target = Target(url="https://API.Example.com:8443/a?b")
    assert key_of(target, "ns") == Key("ns", "api.example.com")
    named = Target(url="https://api.example.com/", concurrency_key="tenant/7")
    assert key_of(named, "ns") == Key("ns", "tenant/7")


@given(
    rate=st.floats(min_value=0.5, max_value=500),
    looks=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=2000),
            st.lists(st.integers(min_value=-500, max_value=1000), max_size=20),
        ),
        max_size=10,
    ),
)
def test_no_window_of_a_second_has_more_calls_than_the_rate_whoever_lays_them_out(
    rate: float, looks: list[tuple[int, list[int]]]
) -> None:
    now, free, sent = NOW, None, []
    for later, wanted in looks:
        now += later
        due = sorted(now + one for one in wanted)
        laid, free = lay_out(due, free_ms=free, max_per_second=rate, now_ms=now)
        assert all(at >= max(one, now) for at, one in zip(laid, due, strict=True))
        sent += laid
    allowed = max(1, int(rate))
    for first, beyond in zip(sent, sent[allowed:], strict=False):
        assert beyond - first >= 1000


def test_a_key_without_a_row_may_have_all_and_one_that_is_open_nothing_until_its_time() -> None:
    assert _grant(None).count > 500
    state = KeyState(key=KEY, breaker=Breaker(state="open", retry_ms=NOW + 1))
    assert (_grant(state).count, _grant(state).again_ms) == (0, NOW + 1)


@pytest.mark.parametrize("state", ["open", "probing"])
def test_when_its_time_has_come_one_call_probes(state: Any) -> None:
    may = _grant(KeyState(key=KEY, breaker=Breaker(state=state, retry_ms=NOW)))
    assert (may.count, may.probe, may.horizon_ms) == (1, True, NOW)


@pytest.mark.parametrize(("running", "left"), [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_calls_at_once_are_what_the_limit_leaves(running: int, left: int) -> None:
    assert (
        _grant(KeyState(key=KEY, configured=True, ceiling=Ceiling(3)), running=running).count
        == left
    )


def test_limits_of_a_key_replace_those_by_default_also_where_they_are_none() -> None:
    default = Ceiling(1, 1.0)
    assert _grant(KeyState(key=KEY), default, running=1).count == 0
    assert _grant(KeyState(key=KEY, configured=True), default, running=1).count > 500


def test_a_rate_grants_what_fits_into_the_lookahead() -> None:
    state = KeyState(key=KEY, configured=True, ceiling=Ceiling(None, 10.0))
    assert _grant(state).count == 10
    later = KeyState(key=KEY, configured=True, ceiling=Ceiling(None, 10.0), rate_free_ms=NOW + 1500)
    assert (_grant(later).count, _grant(later).again_ms) == (0, NOW + 500)


@pytest.mark.parametrize(
    ("outcome", "status", "verdict"),
    [
        ("ok", 200, True),
        ("ok", 404, True),
        ("ok", 410, True),
        ("ok", 429, False),
        ("ok", 500, False),
        ("ok", 599, False),
        ("timeout", None, False),
        ("connect_error", None, False),
        ("tls_error", None, False),
        ("protocol_error", None, False),
        ("blocked", None, None),
        ("cancelled", None, None),
        ("lost", None, None),
    ],
)
def test_an_attempt_speaks_for_its_target_or_against_it_or_neither(
    outcome: str, status: int | None, verdict: bool | None
) -> None:
    assert weigh(outcome, status) is verdict


def _tripped_at(rules: BreakerRules, calls: list[tuple[int, bool]]) -> int | None:
    tally = Tally()
    for number, (at, good) in enumerate(calls, 1):
        if tally.add(rules, good=good, now_ms=at):
            return number
    return None


def test_failures_in_a_row_trip_it() -> None:
    rules = BreakerRules(failures=3, ratio_calls=1000)
    bad, good = (0, False), (0, True)
    assert _tripped_at(rules, [bad, bad, good, bad, bad, bad]) == 6
    assert _tripped_at(rules, [bad, bad, good] * 10) is None


def test_a_share_of_failures_within_the_window_trips_it_once_there_are_enough_calls() -> None:
    rules = BreakerRules(failures=1000, ratio=0.5, ratio_calls=4, window_ms=1000)
    assert _tripped_at(rules, [(0, True), (1, False), (2, False)]) is None
    assert _tripped_at(rules, [(0, True), (1, True), (2, False), (3, False)]) == 4
    assert _tripped_at(rules, [(0, False), (1, False), (2000, False), (2001, True)]) is None


def test_a_breaker_that_is_switched_off_never_trips() -> None:
    assert _tripped_at(BreakerRules(failures=0), [(0, False)] * 2000) is None


def test_the_wait_for_a_probe_doubles_up_to_its_bound() -> None:
    rules = BreakerRules(wait_ms=10, wait_max_ms=50)
    assert [rules.wait_after(opens) for opens in range(1, 6)] == [10, 20, 40, 50, 50]
    assert rules.wait_after(10_000) == 50


@pytest.mark.parametrize("name", ["", "k" * 256, "a\nb", "a\x00b", "\u200b"])
def test_what_can_not_be_shown_is_no_key(name: str) -> None:
    assert key_fault(name) is not None
