"""Instants as people give them in forms: with an offset, or by a clock on some wall. Pure.

A field for date and time sends no offset; the page says whose clock is meant, and this makes an
instant of it. What can not be read goes on as it is: the API has the sentence for that.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

from msgspec import Struct


class Read(Struct, frozen=True):
    """An instant, or the fault; `note` tells what is odd about the wall's clock just then."""

    stamp: str | None
    note: str | None = None
    fault: str | None = None


def from_field(text: str, zone: tzinfo = UTC) -> str:
    """Return what a field gave as an instant with an offset; empty stays empty."""
    return read(text, zone).stamp or text


def read(text: str, zone: tzinfo) -> Read:
    """Read an instant; a time without an offset is that zone's, the first of two alike."""
    # In a query the plus of an offset may arrive as a space.
    head, space, tail = text.strip().rpartition(" ")
    given = f"{head}+{tail}" if space and _is_offset(tail) and "T" in head else text.strip()
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        return Read(None, fault="Give a date and a time, such as 2026-03-29 02:30.")
    if found.tzinfo is not None:
        return Read(found.isoformat())
    here = found.replace(tzinfo=zone)
    try:
        there = here.astimezone(UTC)
        is_there = there.astimezone(zone).replace(tzinfo=None) == found
        again = here.replace(fold=1).astimezone(UTC)
    except OverflowError:
        return Read(None, fault="Give a year from 1970 to 2199.")
    if not is_there:
        note = "The clocks skip this time on that day; the instant is read by the offset before."
        return Read(here.isoformat(), note)
    if again != there:
        second = (there + (again - there)).astimezone(zone).isoformat()
        note = (
            f"The clocks show this time twice on that day; this is the first. The second: {second}"
        )
        return Read(here.isoformat(), note)
    return Read(here.isoformat())


def _is_offset(text: str) -> bool:
    return len(text) == len("hh:mm") and text[2] == ":" and text.replace(":", "").isdigit()


def as_field(stamp: str, zone: tzinfo) -> str:
    """Write an instant for a field of date and time, by the clock of a zone."""
    found = datetime.fromisoformat(stamp)
    with suppress(OverflowError):  # at the ends of the calendar
        found = found.astimezone(zone)
    return found.replace(tzinfo=None, microsecond=0).isoformat()


def later(stamp: str, ms: int) -> str:
    """Return an instant so much later; the last of the calendar stays."""
    try:
        return (datetime.fromisoformat(stamp) + timedelta(milliseconds=ms)).isoformat()
    except OverflowError:
        return stamp
