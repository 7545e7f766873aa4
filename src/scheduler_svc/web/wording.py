"""How numbers, durations and instants are written on pages. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
THOUSAND, MILLION = 1_000, 1_000_000
NOTHING = "–"  # noqa: RUF001 - a dash, as typesetters have it
UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


def duration(ms: float | None) -> str:
    """Write a duration in one or two units: `740 ms`, `3.2 s`, `4 min 10 s`."""
    if ms is None:
        return NOTHING
    if ms < 0:
        return f"-{duration(-ms)}"
    if ms < SECOND:
        return f"{ms:.0f} ms"
    if ms < 10 * SECOND:
        return f"{ms / SECOND:.1f} s"
    return _in_two(int(ms))


def _in_two(ms: int) -> str:
    words: list[str] = []
    for size, unit in UNITS:
        count, ms = divmod(ms, size)
        if count or words:
            words.append(f"{count} {unit}" if count else "")
        if len(words) == 2:  # noqa: PLR2004 - two units are what one reads at a glance
            break
    return " ".join(filter(None, words))


def instant(stamp: str | None) -> str:
    """Write an instant of the API for those who have no script: in UTC, to the second."""
    if stamp is None:
        return NOTHING
    return f"{_read(stamp):%Y-%m-%d %H:%M:%S} UTC"


def local(text: str) -> str:
    """Write a local time with its offset in short: `Fri 02:30 -05:00`."""
    return f"{datetime.fromisoformat(text):%a %H:%M} {text[-6:]}"


def clock(stamp: str) -> str:
    """Write the time of day of an instant, in UTC."""
    return f"{_read(stamp):%H:%M}"


def relative(stamp: str | None, now: str) -> str:
    """Write how far off an instant is: `in 4 min 10 s`, `3.2 s ago`."""
    if stamp is None:
        return NOTHING
    ms = (_read(stamp) - _read(now)).total_seconds() * SECOND
    if abs(ms) < SECOND:
        return "now"
    return f"in {duration(ms)}" if ms > 0 else f"{duration(-ms)} ago"


def _read(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).astimezone(UTC)


def number(value: float | None) -> str:
    """Write a count with its thousands apart."""
    return NOTHING if value is None else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """Write a count in few characters: `12,345` as `12.3k`."""
    if value is None:
        return NOTHING
    for size, unit in ((MILLION, "M"), (THOUSAND, "k")):
        if value >= size * 10:
            return f"{value / size:.1f}{unit}"
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """Write a share: `99.2 %`, and never `100 %` of what is not all."""
    if not whole:
        return NOTHING
    share = 100 * part / whole
    return "100 %" if part == whole else f"{min(share, 99.9):.1f} %"


def words(text: str) -> str:
    """Write a name of the API for people: `too_late` as `too late`."""
    return text.replace("_", " ")


def short(ident: str | None) -> str:
    """Write the end of an id, which differs where the beginning is a time."""
    return NOTHING if ident is None else ident[-8:]


FILTERS: dict[str, Callable[..., Any]] = {
    "duration": duration,
    "instant": instant,
    "local": local,
    "clock": clock,
    "relative": relative,
    "number": number,
    "compact": compact,
    "percent": percent,
    "words": words,
    "short": short,
}
