"""The forecast: how much fires in each minute ahead, at which hosts, and when it is most."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from scheduler_svc.web.instants import as_field, from_field, later
from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit

HOUR_MS: Final = 3_600_000
HOURS: Final = {"1": "an hour", "6": "6 hours", "24": "a day", "72": "3 days", "168": "a week"}
HOURS_DEFAULT: Final = "24"
COLUMNS: Final = 240
WIDTH, HEIGHT = 960.0, 160.0
BUSIEST_SHOWN, HOSTS_SHOWN = 10, 50
TICKS: Final = 4
Json = dict[str, Any]


class Column(Struct, frozen=True):
    """Some minutes of the chart: `peak` is the most that fires in one of them."""

    at: str
    peak: int
    total: int
    x: float
    y: float
    width: float
    height: float


async def show_forecast(visit: Visit) -> Shown:
    """Show the load of a span, by default the day from now on."""
    asked = visit.asked("from").strip()
    hours = visit.asked("hours", HOURS_DEFAULT)
    hours = hours if hours in HOURS else HOURS_DEFAULT
    begin = from_field(asked) if asked else visit.now
    query = {"from": begin} | _until(begin, int(hours))
    told: Json = await visit.get("/forecast", query)
    minutes: list[Json] = told["minutes"]
    drawn = columns(told["from"], told["to"], minutes)
    busiest = sorted(minutes, key=lambda one: (-one["count"], one["at"]))[:BUSIEST_SHOWN]
    hosts = sorted(told["targets"], key=lambda one: -one["count"])
    values = {
        "told": told,
        "hours": hours,
        "choices": HOURS,
        "field": as_field(told["from"], UTC),
        "is_now": not asked,
        "total": sum(one["count"] for one in minutes),
        "peak": max((one["count"] for one in minutes), default=0),
        "columns": drawn,
        "minutes_each": minutes_each(told["from"], told["to"]),
        "ticks": ticks(told["from"], told["to"]),
        "busiest": busiest,
        "hosts": hosts[:HOSTS_SHOWN],
        "hosts_more": max(0, len(hosts) - HOSTS_SHOWN),
    }
    return Shown(template="forecast.html", title="Forecast", values=values)


def _until(begin: str, hours: int) -> dict[str, str]:
    """Return the end of the span; a beginning that can not be read the API refuses by itself."""
    try:
        return {"to": later(begin, hours * HOUR_MS)}
    except ValueError:
        return {}


def minutes_each(since: str, until: str) -> int:
    """Return how many minutes a column stands for."""
    whole = (_read(until) - _read(since)).total_seconds() / 60
    return max(1, round(whole / COLUMNS))


def columns(since: str, until: str, minutes: list[Json]) -> list[Column]:
    """Gather minutes into columns; those without anything are left out."""
    begin, each = _read(since), minutes_each(since, until)
    whole = (_read(until) - begin).total_seconds() / 60
    found: dict[int, list[int]] = {}
    for one in minutes:
        place = max(0, int((_read(one["at"]) - begin).total_seconds() // 60)) // each
        found.setdefault(place, []).append(int(one["count"]))
    peak = max((max(counts) for counts in found.values()), default=1)
    step = WIDTH * each / whole
    return [
        Column(
            at=(begin + timedelta(minutes=place * each)).isoformat(),
            peak=max(counts),
            total=sum(counts),
            x=round(place * step, 2),
            y=round(HEIGHT * (1 - max(counts) / peak), 2),
            width=round(max(1.5, step * 0.85), 2),
            height=round(HEIGHT * max(counts) / peak, 2),
        )
        for place, counts in sorted(found.items())
    ]


def ticks(since: str, until: str) -> list[str]:
    """Return instants that lie evenly over the span, both ends among them."""
    begin, step = _read(since), (_read(until) - _read(since)) / TICKS
    return [(begin + step * number).isoformat() for number in range(TICKS + 1)]


def _read(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).astimezone(UTC)


PAGES = (Page(path="/ui/forecast", handler=show_forecast, entry="Forecast"),)
