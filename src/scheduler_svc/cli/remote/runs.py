"""`runs`: what became of each occurrence; cancel, send again, watch."""

from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from scheduler_svc.cli.remote import runs_watch, show
from scheduler_svc.cli.remote.ask import Verb, noun, show_json
from scheduler_svc.cli.remote.connection import Remote
from scheduler_svc.cli.remote.pages import add_limit, items

STATUSES = ("due", "running", "succeeded", "failed", "skipped", "cancelled")
TRIGGERS = ("schedule", "manual", "backfill", "catch_up", "replay")


def _list_switches(parser: ArgumentParser) -> None:
    parser.add_argument("--job", metavar="JOB", help="only of this job, by id or name")
    parser.add_argument("--status", choices=STATUSES)
    parser.add_argument("--trigger", choices=TRIGGERS)
    parser.add_argument("--since", metavar="INSTANT", help="scheduled then or later")
    parser.add_argument("--until", metavar="INSTANT", help="scheduled before")
    add_limit(parser)


def _list(remote: Remote, given: Namespace) -> None:
    path = "/runs" if given.job is None else f"/jobs/{quote(given.job, safe='')}/runs"
    query = {
        "status": given.status,
        "trigger": given.trigger,
        "since": given.since,
        "until": given.until,
    }
    found = items(remote, path, given, **query)
    if given.json:
        show_json(list(found))
        return
    columns = ("scheduled for", "status", "reason", "trigger", "attempts", "late", "took", "id")
    show.table(columns, map(_row, found))


def _row(run: dict[str, Any]) -> tuple[object, ...]:
    return (
        show.local(run["scheduled_for"]),
        run["status"],
        run["reason"] or "",
        run["trigger"],
        run["attempt_count"],
        show.took(run["lateness_ms"]),
        show.took(run["duration_ms"]),
        run["id"],
    )


def _run(parser: ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="run", help="its id")


def _path(given: Namespace, more: str = "") -> str:
    return f"/runs/{quote(given.run_id, safe='')}{more}"


def _get(remote: Remote, given: Namespace) -> None:
    _show(remote.get(_path(given)), given)


def _show(run: dict[str, Any], given: Namespace) -> None:
    if given.json:
        show_json(run)
        return
    names = ("id", "job_id", "job_name", "status", "reason", "trigger", "replay_of")
    show.fields(
        [
            *((name, run[name]) for name in names),
            ("scheduled for", show.local(run["scheduled_for"])),
            ("started", show.local(run["started_at"])),
            ("finished", show.local(run["finished_at"])),
            ("next attempt", show.local(run["next_attempt_at"])),
            ("late", show.took(run["lateness_ms"])),
            ("took", show.took(run["duration_ms"])),
        ]
    )
    rows = (_attempt(attempt) for attempt in run["attempts"])
    show.table(("attempt", "started", "outcome", "status", "took", "error"), rows)


def _attempt(attempt: dict[str, Any]) -> tuple[object, ...]:
    return (
        attempt["number"],
        show.local(attempt["started_at"]),
        attempt["outcome"],
        attempt["status_code"],
        show.took(attempt["duration_ms"]),
        attempt["error"] or "",
    )


def _cancel(remote: Remote, given: Namespace) -> None:
    _show(remote.ask("POST", _path(given, "/cancel")).body, given)


def _replay(remote: Remote, given: Namespace) -> None:
    once = {"Idempotency-Key": str(uuid4())}
    _show(remote.ask("POST", _path(given, "/replay"), headers=once).body, given)


COMMAND = noun(
    "runs",
    "list, look at, cancel, send again and watch runs of a running service",
    (
        Verb("list", "List runs, newest first", _list_switches, _list),
        Verb("get", "Show one run with its attempts", _run, _get),
        Verb("cancel", "End a run", _run, _cancel),
        Verb("replay", "Send an ended run once more", _run, _replay),
        *runs_watch.VERBS,
    ),
)
