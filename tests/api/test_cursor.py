"""Cursors go on where a list stopped, in that list only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.api import cursor
from scheduler_svc.domain.errors import Invalid

FILTERS = {"state": "active", "sort": "-name"}
keys = st.lists(st.none() | st.integers(-(2**53), 2**53) | st.text(), max_size=3)


@given(keys)
def test_a_key_comes_back_as_it_was(key: list[object]) -> None:
    assert cursor.read(cursor.write(key, FILTERS), FILTERS, list) == key


def test_a_cursor_needs_no_escaping_in_an_address() -> None:
    text = cursor.write(["ÿþ?>", 1], FILTERS)
    assert text.isascii()
    assert set("+/=&? ").isdisjoint(text)


@pytest.mark.parametrize("other", [{"state": "paused", "sort": "-name"}, {"state": "active"}, {}])
def test_a_cursor_of_another_list_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        cursor.read(cursor.write(["a"], FILTERS), other, list)
    (fault,) = caught.value.faults
    assert fault.parameter == "cursor"
    assert "other filters" in fault.detail


@pytest.mark.parametrize("text", ["", "x", "%%%", "AAAA", "ü", "A" * 5000, "null", "e30", "\0"])
def test_what_was_never_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        cursor.read(text, FILTERS, list)
    assert caught.value.faults[0].parameter == "cursor"


@given(st.text(max_size=60))
def test_no_text_brings_the_reader_down(text: str) -> None:
    with pytest.raises(Invalid):
        cursor.read(text, FILTERS, list)


def test_a_key_of_another_shape_is_refused() -> None:
    with pytest.raises(Invalid):
        cursor.read(cursor.write(["a"], FILTERS), FILTERS, tuple[int, str])
