"""Durations as text."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.duration import (
    MILLISECONDS_MAX,
    DurationText,
    milliseconds,
    normal,
    text_of,
)


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("500ms", 500, "500ms"),
        ("30s", 30_000, "30s"),
        ("90m", 5_400_000, "1h30m"),
        ("1h30m", 5_400_000, "1h30m"),
        ("7d", 604_800_000, "7d"),
        ("0s", 0, "0s"),
        ("0ms", 0, "0s"),
        ("60s", 60_000, "1m"),
        ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
        ("1500ms", 1500, "1s500ms"),
    ],
)
def test_a_duration_has_one_length_and_one_normal_form(text: str, length: int, shown: str) -> None:
    assert milliseconds(text) == length
    assert normal(text) == shown
    assert msgspec.convert(text, DurationText) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "may not be empty"),
        ("30", "'30s'"),
        ("1.5h", "fraction"),
        ("-5s", "negative"),
        ("5s1m", "largest unit first"),
        ("1m1m", "each once"),
        ("5 s", "not a duration"),
        ("5s\n", "not a duration"),
        ("٣s", "not a duration"),
        ("5S", "not a duration"),
        ("101y", "not a duration"),
        ("40000d", "100 years"),
        ("9" * 70 + "s", "not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        milliseconds(text)


@given(st.integers(0, MILLISECONDS_MAX))
def test_every_length_can_be_written_and_read_back(length: int) -> None:
    text = text_of(length)
    assert milliseconds(text) == length
    assert normal(text) == text
    assert msgspec.convert(text, DurationText) == text
