"""The chart of the forecast: columns at their minutes, none outside, the highest as high as it."""

from scheduler_svc.web.forecast import HEIGHT, WIDTH, columns, minutes_each, ticks

SINCE, UNTIL = "2026-01-05T08:00:30Z", "2026-01-06T08:00:30Z"


def test_a_column_is_the_busiest_of_its_minutes_and_stands_at_its_place() -> None:
    minutes = [
        {"at": "2026-01-05T08:00:00Z", "count": 2},
        {"at": "2026-01-05T20:00:00Z", "count": 4},
        {"at": "2026-01-05T20:03:00Z", "count": 1},
        {"at": "2026-01-06T08:00:00Z", "count": 3},
    ]
    found = columns(SINCE, UNTIL, minutes)
    assert minutes_each(SINCE, UNTIL) == 6
    assert [(one.peak, one.total) for one in found] == [(2, 2), (4, 4), (1, 1), (3, 3)]
    assert found[1].height == HEIGHT
    assert found[0].height == HEIGHT / 2
    assert found[0].x == 0
    assert abs(found[2].x - WIDTH / 2) < 1
    assert all(0 <= one.x < WIDTH and one.y + one.height == HEIGHT for one in found)


def test_a_short_span_has_a_column_a_minute_and_an_empty_one_none() -> None:
    assert minutes_each(SINCE, "2026-01-05T09:00:30Z") == 1
    assert columns(SINCE, UNTIL, []) == []


def test_ticks_are_even_and_hold_both_ends() -> None:
    found = ticks(SINCE, UNTIL)
    assert len(found) == 5
    assert (found[0], found[-1]) == ("2026-01-05T08:00:30+00:00", "2026-01-06T08:00:30+00:00")
    assert found[2] == "2026-01-05T20:00:30+00:00"
