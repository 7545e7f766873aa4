"""Where attempts and phases are drawn: nothing outside, nothing unseen, in their order."""

from typing import Any

import pytest

from scheduler_svc.web.run_timeline import LEAST, WIDTH, line, phases

Json = dict[str, Any]


def attempt(started: str = "2026-01-05T08:00:00.003Z", **changes: Any) -> Json:
    given = {
        "number": 1,
        "started_at": started,
        "duration_ms": 100.0,
        "outcome": "ok",
        "timing": {"dns_ms": 1.0, "connect_ms": 9.0, "tls_ms": None, "first_byte_ms": 80.0},
    }
    return given | changes


def run(*attempts: Json, **changes: Any) -> Json:
    given = {
        "scheduled_for": "2026-01-05T08:00:00Z",
        "claimed_at": "2026-01-05T07:59:59.500Z",
        "next_attempt_at": None,
        "finished_at": "2026-01-05T08:00:10Z",
        "attempts": list(attempts),
    }
    return given | changes


def test_phases_follow_one_another_and_fill_the_width() -> None:
    found = phases(attempt())
    assert [(one.name, one.ms) for one in found] == [
        *(("look-up", 1.0), ("connect", 9.0), ("first byte", 80.0)),
        ("rest", 10.0),
    ]
    ends = [round(one.x + one.width, 1) for one in found]
    assert [one.x for one in found] == pytest.approx([0, *ends[:-1]], abs=0.2)
    assert ends[-1] == pytest.approx(WIDTH, abs=0.5)


@pytest.mark.parametrize(
    "timing",
    [None, {}, {"dns_ms": 0.0}, {"first_byte_ms": 250.0}],
)
def test_phases_stay_within_the_width_whatever_was_measured(timing: Json | None) -> None:
    found = phases(attempt(timing=timing))
    assert all(one.width >= LEAST for one in found)
    assert found[-1].x + found[-1].width <= WIDTH + 0.5


def test_an_attempt_that_took_no_time_has_no_phases() -> None:
    assert phases(attempt(timing=None, duration_ms=0.0)) == []


def test_attempts_lie_at_their_instants_and_can_be_seen() -> None:
    drawn = line(run(attempt(), attempt("2026-01-05T08:00:09.900Z", number=2)))
    assert drawn is not None
    assert drawn.since == "2026-01-05T07:59:59.500Z"
    assert drawn.until == "2026-01-05T08:00:10Z"
    first, second = drawn.bars
    assert first.x < 60
    assert second.x > 900
    assert all(bar.width >= LEAST and bar.x + bar.width <= WIDTH + 0.5 for bar in drawn.bars)
    assert [mark.name for mark in drawn.marks] == ["due", "claimed", "ended"]


def test_a_run_sent_long_after_its_instant_is_drawn_from_its_claim_on() -> None:
    late = run(
        attempt("2026-01-07T08:00:01Z"),
        claimed_at="2026-01-07T08:00:00Z",
        finished_at="2026-01-07T08:00:02Z",
    )
    drawn = line(late)
    assert drawn is not None
    assert drawn.since == "2026-01-07T08:00:00Z"
    assert "due" not in [mark.name for mark in drawn.marks]


def test_a_run_that_waits_shows_its_next_attempt() -> None:
    waits = run(attempt(), finished_at=None, next_attempt_at="2026-01-05T08:01:00Z")
    drawn = line(waits)
    assert drawn is not None
    assert drawn.marks[-1].name == "next attempt"
    assert drawn.until == "2026-01-05T08:01:00Z"


def test_a_run_of_which_nothing_was_sent_has_no_line() -> None:
    assert line(run()) is None
