"""Shapes of charts: numbers in, places out; the templates draw them. Pure.

Charts are SVG of the server's, coloured by classes. Words stand beside them as HTML, so that they
keep their size, and each chart says in a sentence what it shows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import Struct

from scheduler_svc.web.wording import duration

HEIGHT = 100.0
LEVELS = 4
WEEKDAYS = 7
STEP = 7
MINUTE_MS = 60_000


class Bar(Struct, frozen=True, kw_only=True):
    """A bar from the bottom, in units of the chart: `x` to the right, `y` down, HEIGHT in all."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""


class Bars(Struct, frozen=True, kw_only=True):
    """A chart of bars, as wide as it has places."""

    width: int
    bars: list[Bar]
    most: float
    words: str = ""
    now: float | None = None
    """Where the coming begins."""


def minutes(
    past: Mapping[int, int],
    failed: Mapping[int, int],
    coming: Mapping[int, int],
    *,
    since_ms: int,
    now_ms: int,
    until_ms: int,
) -> Bars:
    """Draw fires by minute: what was, what of it failed, and what comes."""
    most = max([*past.values(), *coming.values(), 1])
    bars: list[Bar] = []
    for minute, count in sorted(past.items()):
        x = (minute - since_ms) / MINUTE_MS
        bars.append(_standing(x, count / most, "bar", f"{_clock(minute)} UTC: {count:,} fires"))
        if bad := failed.get(minute, 0):
            title = f"{_clock(minute)} UTC: {bad:,} of {count:,} failed"
            bars.append(_standing(x, min(bad / most, 1.0), "bar-bad", title))
    this_minute = now_ms - now_ms % MINUTE_MS
    for minute, count in sorted(coming.items()):
        if this_minute <= minute < until_ms:
            x = (minute - since_ms) / MINUTE_MS
            title = f"{_clock(minute)} UTC: {count:,} to come"
            bars.append(_standing(x, count / most, "bar-next", title))
    was, will = sum(past.values()), sum(coming.values())
    return Bars(
        width=(until_ms - since_ms) // MINUTE_MS,
        bars=bars,
        most=most,
        now=(now_ms - since_ms) / MINUTE_MS,
        words=(
            f"Fires by minute. The past hour: {was:,} fires, {sum(failed.values()):,} failed."
            f" To come: {will:,}. The most in a minute: {most:,}."
        ),
    )


def _standing(x: float, share: float, kind: str, title: str) -> Bar:
    height = max(HEIGHT * share, 1.0)
    return Bar(x=x, y=HEIGHT - height, width=0.8, height=height, kind=kind, title=title)


def _clock(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M}"


def values(named: str, points: Sequence[tuple[str, float | None, bool]]) -> Bars:
    """Draw one bar a run: its title, its milliseconds, and whether it failed; the oldest first."""
    known = sorted(value for _, value, _ in points if value is not None)
    most = known[-1] if known else 0
    bars = [
        _standing(float(index), value / (most or 1), "bar-bad" if failed else "bar", title)
        for index, (title, value, failed) in enumerate(points)
        if value is not None
    ]
    if not known:
        return Bars(
            width=max(len(points), 1), bars=[], most=0, words=f"{named}: nothing known yet."
        )
    middle = known[len(known) // 2]
    high = known[min(len(known) - 1, round(len(known) * 0.99))]
    words = (
        f"{named} of the last {len(known)} runs: half within {duration(middle)},"
        f" 99 % within {duration(high)}, the most {duration(most)}."
    )
    return Bars(width=max(len(points), 20), bars=bars, most=most, words=words)


class Cell(Struct, frozen=True, kw_only=True):
    """A day of a calendar: its column and row, how it looks, what it says."""

    column: int
    row: int
    kind: str
    title: str


class Calendar(Struct, frozen=True, kw_only=True):
    """Weeks side by side, Mondays on top; `months` are names with the column they begin at."""

    columns: int
    cells: list[Cell]
    months: list[tuple[int, str]]
    words: str


def calendar(days: Sequence[tuple[date, str, str]], words: str) -> Calendar:
    """Lay days out in weeks: each is a date, the class of its cell, and what it says."""
    first = days[0][0] - timedelta(days=days[0][0].weekday())
    cells, months = [], []
    for day, kind, title in days:
        column, row = divmod((day - first).days, WEEKDAYS)
        cells.append(Cell(column=column, row=row, kind=kind, title=title))
        if day.day == 1 or day == days[0][0]:
            months.append((column, f"{day:%b}"))
    if len(months) > 1 and months[1][0] - months[0][0] < 3:  # noqa: PLR2004 - they would overlap
        months.pop(0)
    return Calendar(columns=cells[-1].column + 1, cells=cells, months=months, words=words)


def level(count: int, most: int) -> int:
    """Grade a count from 1 to LEVELS; 0 is none."""
    return 0 if count == 0 else max(1, -(-count * LEVELS // max(most, 1)))


class Strip(Struct, frozen=True, kw_only=True):
    """The last runs side by side: what went well as one path, each other as a mark of its own."""

    fine: str
    void: str
    marks: list[tuple[int, str, str]]
    words: str


def strip(runs: Sequence[Any], places: int) -> Strip:
    """Lay the newest runs side by side, the newest at the right."""
    shown = list(reversed(runs[:places]))
    begin = places - len(shown)
    fine = [begin + n for n, run in enumerate(shown) if run.status == "succeeded"]
    return Strip(
        fine="".join(f"M{place * STEP} 6h5v11h-5z" for place in fine),
        void="".join(f"M{place * STEP} 14h5v2h-5z" for place in range(begin)),
        marks=[
            ((begin + n) * STEP, run.status, f"{_full(run.scheduled_ms)} UTC: {_status(run)}")
            for n, run in enumerate(shown)
            if run.status != "succeeded"
        ],
        words=strip_words(runs, places),
    )


def strip_words(runs: Sequence[Any], places: int) -> str:
    """Say what a strip shows."""
    shown = runs[:places]
    if not shown:
        return "No runs yet."
    counted = Counter(run.status for run in shown)
    told = ", ".join(f"{count} {status}" for status, count in counted.items())
    return f"The last {len(shown)} runs: {told}. The newest {shown[0].status}."


def _full(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _status(run: Any) -> str:
    reason = f" ({run.reason.replace('_', ' ')})" if run.reason else ""
    return f"{run.status}{reason}"
