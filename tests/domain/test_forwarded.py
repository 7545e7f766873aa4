"""Who is asking behind proxies: from the nearest to the farthest, and never a step too far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.forwarded import caller_behind, scheme_behind

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")
PEER, NEAR = "10.0.0.1", "10.0.0.2"
CALLER = "203.0.113.7"


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ([], PEER),
        ([""], PEER),
        ([CALLER], CALLER),
        (["198.51.100.1, " + CALLER], CALLER),
        ([f"198.51.100.1, {CALLER}, {NEAR}"], CALLER),
        (["198.51.100.1", CALLER, NEAR], CALLER),
        ([f"{CALLER}:4711"], CALLER),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["2001:db8::7, 2001:db8:ffff::1"], "2001:db8::7"),
        (["::ffff:203.0.113.7"], CALLER),
        ([f"{CALLER}, unknown"], PEER),
        ([f"{CALLER}, , {NEAR}"], NEAR),
        ([f"{CALLER}, {NEAR}.example, {NEAR}"], NEAR),
        ([f"{NEAR}, 10.9.9.9"], NEAR),
        ([f"{CALLER}\t ,\t{NEAR}"], CALLER),
        ([",".join([CALLER, *["10.0.0.3"] * 40])], "10.0.0.3"),
    ],
)
def test_the_caller_is_the_last_that_is_no_proxy(said: list[str], counts: str) -> None:
    assert caller_behind(PEER, said, PROXIES) == counts


def test_who_is_no_proxy_speaks_for_nobody() -> None:
    assert caller_behind("203.0.113.1", [CALLER], PROXIES) == "203.0.113.1"
    assert caller_behind(PEER, [CALLER], ()) == PEER


def test_a_proxy_by_its_mapped_address_is_the_same_proxy() -> None:
    assert caller_behind("::ffff:10.0.0.1", [CALLER], PROXIES) == CALLER


@given(made_up=st.lists(st.text(max_size=20), max_size=5))
def test_nothing_that_a_caller_writes_before_what_the_proxy_adds_changes_who_it_is(
    made_up: list[str],
) -> None:
    assert caller_behind(PEER, [*made_up, CALLER], PROXIES) == CALLER


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ([], None),
        (["https"], "https"),
        (["HTTP"], "http"),
        (["https, http"], "http"),
        (["https", "http"], "http"),
        (["javascript"], None),
        (["wss"], None),
    ],
)
def test_the_nearest_proxy_says_the_scheme(said: list[str], scheme: str | None) -> None:
    assert scheme_behind(said) == scheme
