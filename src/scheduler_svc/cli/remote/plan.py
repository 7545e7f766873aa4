"""What applying a file would do, for people: one line a job, and what changes below it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from scheduler_svc.cli.remote import show

SHOWN_MAX = 200
MARKS = {"create": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}
LENGTH_MAX = 120
FIRES = 2


def shown(planned: dict[str, Any], jobs: Mapping[str, dict[str, Any]]) -> None:
    """Print a plan."""
    console = show.console()
    items = planned["items"]
    for item in items[:SHOWN_MAX]:
        for line in _lines(item, jobs.get(item["name"], {})):
            console.print(line)
    if len(items) > SHOWN_MAX:
        console.print(f"... and {len(items) - SHOWN_MAX:,} more; --json has them all")
    console.print(counted("Plan", planned, ("to create", "to change", "to delete")))


def counted(word: str, told: dict[str, Any], verbs: tuple[str, str, str]) -> Text:
    """Return the sum in one line."""
    numbers = (told["created"], told["changed"], told["deleted"])
    parts = [f"{number:,} {verb}" for number, verb in zip(numbers, verbs, strict=True)]
    return Text(f"{word}: {', '.join(parts)}, {told['unchanged']:,} unchanged.", style="bold")


def _lines(item: dict[str, Any], job: dict[str, Any]) -> Iterable[Text]:
    mark, colour = MARKS[item["action"]]
    schedule = job.get("schedule")
    when = show.when(schedule) if item["action"] == "create" and isinstance(schedule, dict) else ""
    yield Text(show.harmless(f"{mark} {item['name']}  {when}".rstrip()), style=colour)
    for change in item["changes"]:
        before, after = (_short(change, side) for side in ("before", "after"))
        yield Text(show.harmless(f"    {change['pointer']}: {before} -> {after}"))
    if item["fires"] is not None:
        yield Text(f"    {_fires(item)}")


def _fires(item: dict[str, Any]) -> str:
    """Say when it fires, and how often: now, then, or both."""
    fires, per_day = item["fires"], item["fires"]["per_day"]
    now = f"{_next(fires['before'])}; {per_day['before']:g} a day"
    then = f"{_next(fires['after'])}; {per_day['after']:g} a day"
    match item["action"]:
        case "create":
            return f"fires: {then}"
        case "delete":
            return f"fired: {now}"
        case _:
            return f"fires: {now}\n    would: {then}"


def _short(change: dict[str, Any], side: str) -> str:
    if side not in change:
        return "(nothing)"
    text = json.dumps(change[side], ensure_ascii=False)
    return text if len(text) <= LENGTH_MAX else f"{text[:LENGTH_MAX]}..."


def _next(occurrences: list[dict[str, Any]]) -> str:
    return ", ".join(one["local"] for one in occurrences[:FIRES]) or "never"
