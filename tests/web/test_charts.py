"""The shapes of charts, and how numbers are written: values in, values out."""

from datetime import date, timedelta
from uuid import UUID

import pytest

from scheduler_svc.store.dashboard import PastRun
from scheduler_svc.web import charts
from scheduler_svc.web.wording import compact, duration, percent, relative

MINUTE_MS = 60_000
DASH = "\u2013"


def run(status: str, reason: str | None = None) -> PastRun:
    return PastRun(UUID(int=1), 0, "schedule", status, reason, 1, 1, 3, 20)


def test_a_strip_has_the_newest_at_the_right_and_a_mark_for_what_did_not_go_well() -> None:
    made = charts.strip([run("failed", "attempts"), run("succeeded"), run("skipped", "overlap")], 5)
    assert made.fine == "M21 6h5v11h-5z"
    assert made.void.count("M") == 2
    assert [(x, status) for x, status, _ in made.marks] == [(14, "skipped"), (28, "failed")]
    assert made.marks[1][2] == "1970-01-01 00:00:00 UTC: failed (attempts)"
    assert made.words == ("The last 3 runs: 1 failed, 1 succeeded, 1 skipped. The newest failed.")
    assert charts.strip([], 5).words == "No runs yet."


def test_a_minute_that_failed_in_part_has_both_bars_and_what_is_over_is_not_to_come() -> None:
    made = charts.minutes(
        {0: 4},
        {0: 1},
        {0: 9, MINUTE_MS: 2, 2 * MINUTE_MS: 5},
        since_ms=0,
        now_ms=MINUTE_MS + 1,
        until_ms=2 * MINUTE_MS,
    )
    assert [(bar.kind, bar.x) for bar in made.bars] == [
        *(("bar", 0.0), ("bar-bad", 0.0)),
        ("bar-next", 1.0),
    ]
    assert made.width == 2


def test_a_calendar_begins_on_a_monday_and_names_each_month_once() -> None:
    days = [date(2026, 1, 5) + timedelta(days=n) for n in range(60)]
    made = charts.calendar([(day, "none", str(day)) for day in days], "words")
    assert (made.cells[0].column, made.cells[0].row) == (0, 0)
    assert (made.cells[8].column, made.cells[8].row) == (1, 1)
    assert [name for _, name in made.months] == ["Jan", "Feb", "Mar"]
    assert made.columns == 9


def test_a_chart_of_values_without_any_says_so() -> None:
    assert charts.values("Lateness", []).words == "Lateness: nothing known yet."
    made = charts.values("Lateness", [("a", 10, False), ("b", None, True), ("c", 40, True)])
    assert [(bar.x, bar.height, bar.kind) for bar in made.bars] == [
        *((0.0, 25.0, "bar"), (2.0, 100.0, "bar-bad")),
    ]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        *((None, DASH), (0, "0 ms"), (999, "999 ms"), (1500, "1.5 s"), (61_000, "1 min 1 s")),
        *((3_600_000, "1 h"), (90_061_000, "1 d 1 h"), (-1500, "-1.5 s")),
    ],
)
def test_a_duration_has_two_units_at_most(ms: float | None, text: str) -> None:
    assert duration(ms) == text


def test_numbers_are_short_and_never_rounded_to_all() -> None:
    assert [compact(n) for n in (None, 0, 9_999, 12_345, 12_345_678)] == [
        *(DASH, "0", "9,999", "12.3k", "12.3M"),
    ]
    assert (percent(9_999, 10_000), percent(10, 10), percent(0, 0)) == ("99.9 %", "100 %", DASH)
    now = "2026-01-05T12:00:00Z"
    assert relative("2026-01-05T12:01:00Z", now) == "in 1 min"
    assert relative("2026-01-05T11:59:55.500Z", now) == "4.5 s ago"
