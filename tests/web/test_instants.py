"""Instants as people give them: an offset counts, without one the clock on the wall does."""

from datetime import UTC

import pytest

from scheduler_svc.domain.zones import zone_info
from scheduler_svc.web.instants import as_field, from_field, read

BERLIN = zone_info("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2026-03-02T08:00:00Z", "2026-03-02T08:00:00+00:00"),
        ("2026-03-02T08:00:00+01:00", "2026-03-02T08:00:00+01:00"),
        ("2026-03-02T08:00:00 01:00", "2026-03-02T08:00:00+01:00"),  # a plus that was not coded
        ("2026-03-02T08:00", "2026-03-02T08:00:00+01:00"),
        (" 2026-03-02 08:00 ", "2026-03-02T08:00:00+01:00"),
        ("2026-07-02T08:00", "2026-07-02T08:00:00+02:00"),
        ("2026-07-02", "2026-07-02T00:00:00+02:00"),
    ],
)
def test_an_instant_is_read_with_its_offset_or_by_the_clock_of_the_zone(
    text: str, stamp: str
) -> None:
    found = read(text, BERLIN)
    assert (found.stamp, found.note, found.fault) == (stamp, None, None)


def test_a_time_that_the_clocks_skip_is_read_and_said_to_be_none() -> None:
    found = read("2026-03-29T02:30", BERLIN)
    assert found.stamp == "2026-03-29T02:30:00+01:00"
    assert found.note is not None
    assert "skip" in found.note


def test_of_a_time_that_comes_twice_the_first_is_meant_and_the_second_is_named() -> None:
    found = read("2026-10-25T02:30", BERLIN)
    assert found.stamp == "2026-10-25T02:30:00+02:00"
    assert found.note is not None
    assert "2026-10-25T02:30:00+01:00" in found.note
    assert read("2026-10-25T02:30:00+01:00", BERLIN).note is None


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "9999999-01-01", "<script>"])
def test_what_is_no_instant_has_a_fault_that_says_what_to_give(text: str) -> None:
    found = read(text, BERLIN)
    assert found.stamp is None
    assert found.fault is not None
    assert "2026-03-29 02:30" in found.fault


@pytest.mark.parametrize("text", ["0001-01-01T00:00", "9999-12-31T23:59"])
def test_the_ends_of_the_calendar_are_read_or_refused_and_never_a_failure(text: str) -> None:
    found = read(text, zone_info("Pacific/Kiritimati"))
    assert (found.stamp is None) != (found.fault is None)


def test_a_field_goes_on_as_it_is_where_the_api_has_the_sentence() -> None:
    assert from_field("2026-03-02T08:00") == "2026-03-02T08:00:00+00:00"
    assert from_field("soon") == "soon"
    assert from_field("") == ""
    assert as_field("2026-03-02T08:00:00.250Z", UTC) == "2026-03-02T08:00:00"
    assert as_field("2026-03-02T08:00:00Z", BERLIN) == "2026-03-02T09:00:00"
