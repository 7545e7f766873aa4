"""Which minute a run begins in, held against a count of all minutes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.run_calendar import MINUTE_MS, MINUTES_MAX, Calendar

NOW = 1000 * MINUTE_MS + 20_000
FAR = NOW + 10_000 * MINUTE_MS


def _calendar(given: list[int] | None = None) -> Calendar:
    counts = given or []
    return Calendar(1000, counts, [0] * len(counts), now_ms=NOW)


def test_the_first_of_a_minute_go_at_their_instant_and_the_rest_are_laid_out_over_the_next() -> (
    None
):
    calendar = _calendar()
    at = NOW + 5000
    found = [calendar.take(at, quota=3, until_ms=FAR) for _ in range(7)]
    following = 1001 * MINUTE_MS
    assert found == [
        *[at] * 3,
        following,
        following + 20_000,
        following + 40_000,
        following + MINUTE_MS,
    ]


def test_what_can_not_begin_before_its_end_takes_nothing() -> None:
    calendar = _calendar([2])
    assert calendar.take(NOW, quota=2, until_ms=1001 * MINUTE_MS) is None
    assert (calendar.given, calendar.changed) == ([2], False)
    assert calendar.take(NOW, quota=2, until_ms=1001 * MINUTE_MS + 1) == 1001 * MINUTE_MS
    full = _calendar([1] * MINUTES_MAX)
    assert full.take(NOW, quota=1, until_ms=FAR) is None


def test_what_is_late_counts_for_the_present_minute_and_the_past_is_forgotten() -> None:
    calendar = Calendar(998, [9, 9, 1, 4], [1, 1, 1, 0], now_ms=NOW)
    assert (calendar.first, calendar.given, calendar.past) == (1000, [1, 4], [1, 0])
    assert calendar.take(NOW - 90_000, quota=2, until_ms=FAR) == NOW - 90_000
    assert calendar.now() == 2


def test_runs_of_the_past_have_half_of_each_minute_and_only_what_is_left_of_it() -> None:
    calendar = _calendar([3, 0])
    minute = 1001 * MINUTE_MS
    assert [calendar.take_past(quota=4) for _ in range(4)] == [
        NOW,
        minute,
        minute + 30_000,
        minute + MINUTE_MS,
    ]
    assert calendar.take(minute, quota=4, until_ms=FAR) == minute
    alone = _calendar()
    assert alone.take_past(quota=1) == NOW


def test_what_is_asked_for_now_fits_as_a_whole_or_hears_when_it_will() -> None:
    calendar = _calendar([3, 4, 2])
    assert calendar.take_now(2, quota=4) == 1002 * MINUTE_MS
    assert calendar.given == [3, 4, 2]
    assert calendar.take_now(1, quota=4) is None
    assert calendar.now() == 4


@given(
    quota=st.integers(1, 7),
    asked=st.lists(st.one_of(st.none(), st.integers(-3, 12)), max_size=120),
)
def test_no_minute_is_ever_given_more_than_the_quota_and_the_past_no_more_than_its_half(
    quota: int, asked: list[int | None]
) -> None:
    calendar = _calendar()
    begun: Counter[int] = Counter()
    past: Counter[int] = Counter()
    for minutes in asked:
        if minutes is None:
            at = calendar.take_past(quota=quota)
            assert at is not None
            past[at // MINUTE_MS] += 1
        else:
            wanted = NOW + minutes * MINUTE_MS
            at = calendar.take(wanted, quota=quota, until_ms=FAR)
            assert at is not None
            assert at >= wanted
            at = max(at, NOW)  # what is late is sent now
        begun[at // MINUTE_MS] += 1
    assert max(begun.values(), default=0) <= quota
    assert max(past.values(), default=0) <= max(1, quota // 2)
