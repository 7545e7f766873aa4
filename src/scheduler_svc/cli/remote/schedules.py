"""`preview` and `forecast`: what a schedule means, and what load lies ahead."""

from argparse import ArgumentParser, Namespace
from datetime import datetime
from typing import Any

from scheduler_svc.cli.remote import show
from scheduler_svc.cli.remote.ask import show_json, single
from scheduler_svc.cli.remote.connection import Remote
from scheduler_svc.cli.remote.jobs import occurrences

BARS = 40


def _preview_switches(parser: ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("cron", nargs="?", metavar="EXPRESSION", help="such as '0 9 * * MON'")
    kind.add_argument("--every", metavar="DURATION")
    kind.add_argument("--at", metavar="INSTANT")
    parser.add_argument("--timezone", metavar="ZONE", help="such as Europe/Berlin (UTC)")
    parser.add_argument("--count", type=int, default=10, help="so many (%(default)s)")
    parser.add_argument("--from", dest="since", metavar="INSTANT", help="after this, not now")


def _preview(remote: Remote, given: Namespace) -> None:
    said = {
        "cron": given.cron,
        "every": given.every,
        "at": given.at,
        "timezone": given.timezone,
    }
    sent: dict[str, Any] = {
        "schedule": {name: value for name, value in said.items() if value is not None},
        "count": given.count,
    }
    if given.since is not None:
        sent["from"] = given.since
    occurrences(remote.ask("POST", "/schedules/preview", sent).body, given)


def _forecast_switches(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="since", metavar="INSTANT")
    parser.add_argument("--to", metavar="INSTANT")


def _forecast(remote: Remote, given: Namespace) -> None:
    """Show the fires of each hour as a bar, and the hosts that are called most."""
    query = {"from": given.since, "to": given.to}
    found = remote.get("/forecast", **query)
    if given.json:
        show_json(found)
        return
    hours: dict[datetime, int] = {}
    for minute in found["minutes"]:
        at = datetime.fromisoformat(minute["at"]).astimezone()
        hour = at.replace(minute=0, second=0, microsecond=0)
        hours[hour] = hours.get(hour, 0) + minute["count"]
    most = max(hours.values(), default=1)
    rows = (
        (f"{hour:%Y-%m-%d %H:%M}", count, "#" * max(1, round(count / most * BARS)))
        for hour, count in sorted(hours.items())
    )
    show.table(("hour", "fires", ""), rows)
    hosts = ((one["host"], one["count"], one["peak_per_minute"]) for one in found["targets"])
    show.table(("host", "fires", "most a minute"), hosts)


PREVIEW = single(
    "preview", "say in words and instants what a schedule means", _preview_switches, _preview
)
FORECAST = single("forecast", "show the load that lies ahead", _forecast_switches, _forecast)
