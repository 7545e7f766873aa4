"""`jobs`: list, look, explain. What changes jobs is in `jobs_change`."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from scheduler_svc.cli.remote import jobs_change, show
from scheduler_svc.cli.remote.ask import Verb, noun, show_json
from scheduler_svc.cli.remote.connection import Remote
from scheduler_svc.cli.remote.pages import add_limit, items

STATES = ("active", "paused", "completed")
ORDERS = ("created_at", "next_fire_at", "name")


def path_of(job: str, more: str = "") -> str:
    """Return the path of a job, by its id or name."""
    return f"/jobs/{quote(job, safe='')}{more}"


def add_job(parser: ArgumentParser) -> None:
    """Add the job that is meant."""
    parser.add_argument("job", help="its id or its name")


def _list_switches(parser: ArgumentParser) -> None:
    parser.add_argument("--state", choices=STATES)
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY:VALUE", help="repeatable: all hold"
    )
    parser.add_argument("--name-prefix", metavar="TEXT")
    parser.add_argument("-q", metavar="TEXT", help="part of the name or the description")
    parser.add_argument(
        "--sort", metavar="ORDER", help=f"{', '.join(ORDERS)}; with - before it the other way"
    )
    add_limit(parser)


def _list(remote: Remote, given: Namespace) -> None:
    query = {
        "state": given.state,
        "label": given.label,
        "name_prefix": given.name_prefix,
        "q": given.q,
        "sort": given.sort,
    }
    found = items(remote, "/jobs", given, **query)
    if given.json:
        show_json(list(found))
        return
    now = datetime.now(UTC)
    show.table(
        ("job", "state", "schedule", "next", "last run", "id"), (_row(job, now) for job in found)
    )


def _row(job: dict[str, Any], now: datetime) -> tuple[object, ...]:
    last = job["last_run"]
    return (
        job["name"],
        job["state"],
        show.when(job["schedule"]),
        show.away(job["next_fire_at"], now),
        None if last is None else last["status"],
        job["id"],
    )


def _get_switches(parser: ArgumentParser) -> None:
    add_job(parser)
    parser.add_argument("--spec", action="store_true", help="only what `update --file` takes")


def _get(remote: Remote, given: Namespace) -> None:
    if given.spec:
        show_json(remote.get(path_of(given.job), view="spec"))
        return
    job = remote.get(path_of(given.job))
    if given.json:
        show_json(job)
        return
    now = datetime.now(UTC)
    last, pause = job["last_run"], job["pause"]
    show.fields(
        [
            ("job", job["name"] or job["id"]),
            ("id", job["id"]),
            ("state", job["state"]),
            ("paused because", None if pause is None else pause.get("reason")),
            ("description", job["description"]),
            ("labels", " ".join(f"{key}:{value}" for key, value in job["labels"].items())),
            ("schedule", show.when(job["schedule"])),
            ("target", f"{job['target']['method']} {job['target']['url']}"),
            ("next", _instant(job["next_fire_at"], now)),
            ("then", ", ".join(map(str, map(show.local, job["upcoming"][1:4])))),
            ("last run", None if last is None else f"{last['status']} {last['id']}"),
            ("revision", job["revision"]),
            *(("warning", warning["detail"]) for warning in job["warnings"]),
        ]
    )


def _instant(text: str | None, now: datetime) -> str | None:
    return None if text is None else f"{show.local(text)}, {show.away(text, now)}"


def _upcoming_switches(parser: ArgumentParser) -> None:
    add_job(parser)
    parser.add_argument("--count", type=int, default=10, help="so many (%(default)s)")
    parser.add_argument("--from", dest="since", metavar="INSTANT", help="after this, not now")


def _upcoming(remote: Remote, given: Namespace) -> None:
    query = {"count": given.count, "from": given.since}
    occurrences(remote.get(path_of(given.job, "/upcoming"), **query), given)


def occurrences(found: dict[str, Any], given: Namespace) -> None:
    """Print coming occurrences, in the job's zone and in UTC, and what is to be known of them."""
    if given.json:
        show_json(found)
        return
    if found.get("description"):
        show.fields([("schedule", found["description"])])
    rows = ((one["local"], one["scheduled_for"], one["note"]) for one in found["occurrences"])
    show.table(("local", "UTC", "note"), rows)
    show.fields(("warning", warning["detail"]) for warning in found["warnings"])


def _explain_switches(parser: ArgumentParser) -> None:
    add_job(parser)
    parser.add_argument("at", metavar="INSTANT", help="such as 2026-03-02T09:00:00+01:00")


def _explain(remote: Remote, given: Namespace) -> None:
    found = remote.get(path_of(given.job, "/explain"), at=given.at)
    if given.json:
        show_json(found)
        return
    show.fields(
        [
            ("at", show.local(found["at"])),
            ("verdict", found["verdict"]),
            ("reason", found["reason"]),
            ("because", found["detail"]),
            ("run", found["run_id"]),
        ]
    )


COMMAND = noun(
    "jobs",
    "list, look at, make and change jobs of a running service",
    (
        Verb("list", "List jobs", _list_switches, _list),
        Verb("get", "Show one job", _get_switches, _get),
        *jobs_change.VERBS,
        Verb("upcoming", "Show when it fires next", _upcoming_switches, _upcoming),
        Verb("explain", "Say why it fired then, or did not", _explain_switches, _explain),
    ),
)
