"""What people see: tables and lines of text, in the zone of whoever looks.

Promises that nothing which comes from the service can steer the terminal: what is not printable is
shown as its number.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "succeeded": "green",
    "active": "green",
    "failed": "red",
    "running": "cyan",
    "due": "cyan",
    "paused": "yellow",
    "skipped": "yellow",
    "cancelled": "magenta",
}
MILLISECONDS, MINUTE, HOUR, DAY = 1000, 60, 3600, 86_400


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their names; where nobody reads on a terminal, wide and without colour."""
    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        shown.add_row(*map(cell, row))
        count += 1
    if count:
        console().print(shown)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; what has no value is left out."""
    kept = [(name, value) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        console().print(Text(f"{name.ljust(width)}  ", style="bold") + cell(value))


def console() -> Console:
    """Return where it is printed, as wide as it needs where that is no terminal."""
    made = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made = Console(highlight=False, markup=False, emoji=False, width=400)
    return made


def cell(value: object) -> Text:
    """Return one value as text that can do no harm, coloured where it is a state."""
    text = "-" if value is None else harmless(str(value))
    return Text(text, style=COLOURS.get(text, ""))


def harmless(text: str) -> str:
    """Show what is not printable as its number: a name may hold what moves a cursor."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def local(instant: str | None) -> str | None:
    """Return an instant in the zone of whoever looks, to the second."""
    if instant is None:
        return None
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def away(instant: str | None, now: datetime) -> str | None:
    """Return how far an instant is from now, in words: `in 3 h 20 min`, `5 s ago`."""
    if instant is None:
        return None
    seconds = round((datetime.fromisoformat(instant) - now).total_seconds())
    text = span(abs(seconds))
    return f"in {text}" if seconds >= 0 else f"{text} ago"


def span(seconds: int) -> str:
    """Return a duration in the two largest units that it has."""
    for size, name, below, small in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min")):
        if seconds >= size:
            rest = seconds % size // below
            return f"{seconds // size} {name}" + (f" {rest} {small}" if rest else "")
    if seconds >= MINUTE:
        return f"{seconds // MINUTE} min"
    return f"{seconds} s"


def took(milliseconds: float | None) -> str | None:
    """Return a duration that was measured."""
    if milliseconds is None:
        return None
    if milliseconds < MILLISECONDS:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / MILLISECONDS:.1f} s"


def when(schedule: Mapping[str, Any]) -> str:
    """Return a schedule as it was written, with its zone where that is not UTC."""
    for kind in ("cron", "every", "at"):
        if (value := schedule.get(kind)) is not None:
            text = " + ".join(value) if isinstance(value, list) else str(value)
            zone = schedule.get("timezone", "UTC")
            return f"{kind} {text}" + (f" ({zone})" if zone != "UTC" and kind == "cron" else "")
    return "?"
