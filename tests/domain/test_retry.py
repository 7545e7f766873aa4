"""What follows a failed attempt: a table of the curve, and properties that hold for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.jobs import Retry
from scheduler_svc.domain.retry import GiveUp, TryAgain, delay_ms, next_attempt

NOW = 1_767_600_000_000


def _next(retry: Retry, **changes: object) -> TryAgain | GiveUp:
    asked: dict[str, object] = {
        "made": 1,
        "first_ms": NOW,
        "now_ms": NOW,
        "next_occurrence_ms": None,
        "retry_after_ms": None,
        "rand": 0.5,
    }
    return next_attempt(retry, **(asked | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "wanted"), [(1, 5_000), (2, 20_000), (3, 80_000), (4, 320_000), (5, 1_280_000)]
)
def test_the_default_curve_grows_fourfold_from_five_seconds(made: int, wanted: int) -> None:
    assert delay_ms(Retry(jitter="none"), made, 0.9) == wanted


@pytest.mark.parametrize("made", [7, 50, 100])
def test_the_curve_stops_at_max_delay(made: int) -> None:
    assert delay_ms(Retry(jitter="none"), made, 0.9) == 3_600_000


@given(
    st.integers(1, 100),
    st.floats(0, 1, exclude_max=True),
    st.floats(1, 100),
    st.sampled_from(["0s", "1ms", "5s", "1h", "30d"]),
    st.sampled_from(["0s", "1s", "1h", "365d"]),
)
def test_full_jitter_lies_between_nothing_and_the_curve(
    made: int, rand: float, multiplier: float, initial: str, most: str
) -> None:
    curve = Retry(initial_delay=initial, multiplier=multiplier, max_delay=most, jitter="none")
    drawn = Retry(initial_delay=initial, multiplier=multiplier, max_delay=most, jitter="full")
    ceiling = delay_ms(curve, made, rand)
    assert 0 <= delay_ms(drawn, made, rand) <= ceiling
    assert delay_ms(drawn, made, 0.0) == 0


def test_a_list_of_delays_is_followed_and_its_last_repeats() -> None:
    retry = Retry(delays=["1s", "10s", "1m"], max_attempts=9)
    assert [delay_ms(retry, made, 0.5) for made in (1, 2, 3, 4, 8)] == [
        1_000,
        10_000,
        60_000,
        60_000,
        60_000,
    ]


@pytest.mark.parametrize(("made", "ends"), [(3, False), (4, True), (5, True)])
def test_there_are_max_attempts_and_no_more(made: int, ends: bool) -> None:
    assert (_next(Retry(max_attempts=4), made=made) == GiveUp("attempts")) is ends


def test_retry_after_is_obeyed_where_it_is_longer_than_the_curve() -> None:
    retry = Retry(jitter="none")
    assert _next(retry, retry_after_ms=30_000) == TryAgain(NOW + 30_000)
    assert _next(retry, retry_after_ms=1_000) == TryAgain(NOW + 5_000)


def test_retry_after_is_clamped_to_max_delay_before_the_deadline_judges_it() -> None:
    retry = Retry(jitter="none", max_delay="1m", deadline="5m")
    assert _next(retry, retry_after_ms=10**9) == TryAgain(NOW + 60_000)
    assert _next(retry, retry_after_ms=10**9, first_ms=NOW - 241_000) == GiveUp("deadline")


def test_the_deadline_counts_from_the_first_attempt() -> None:
    retry = Retry(jitter="none", deadline="10s")
    assert _next(retry, first_ms=NOW - 5_000) == TryAgain(NOW + 5_000)
    assert _next(retry, first_ms=NOW - 5_001) == GiveUp("deadline")


def test_without_a_deadline_the_next_occurrence_is_the_end() -> None:
    retry = Retry(jitter="none")
    assert _next(retry, next_occurrence_ms=NOW + 5_001) == TryAgain(NOW + 5_000)
    assert _next(retry, next_occurrence_ms=NOW + 5_000) == GiveUp("next_occurrence")


def test_a_deadline_reaches_beyond_the_next_occurrence() -> None:
    retry = Retry(jitter="none", deadline="1h")
    assert _next(retry, next_occurrence_ms=NOW + 1) == TryAgain(NOW + 5_000)


@given(
    st.integers(1, 100),
    st.integers(1, 100),
    st.none() | st.integers(0, 10**10),
    st.none() | st.integers(NOW, NOW + 10**8),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.sampled_from(["1s", "1h"]),
)
def test_a_retry_is_never_in_the_past_nor_beyond_what_bounds_it(
    made: int,
    most: int,
    after: int | None,
    bound: int | None,
    rand: float,
    deadline: str | None,
) -> None:
    retry = Retry(max_attempts=most, deadline=deadline)
    told = _next(retry, made=made, retry_after_ms=after, next_occurrence_ms=bound, rand=rand)
    if isinstance(told, TryAgain):
        assert made < most
        assert NOW <= told.at_ms <= NOW + 3_600_000
        if deadline is None and bound is not None:
            assert told.at_ms < bound
    else:
        assert told.reason in {"attempts", "deadline", "next_occurrence"}
