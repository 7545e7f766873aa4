"""What changes jobs: create, update, pause, resume, trigger, delete."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from scheduler_svc.cli.command import FAILED
from scheduler_svc.cli.remote import show
from scheduler_svc.cli.remote.ask import Verb, show_json
from scheduler_svc.cli.remote.connection import Misused, Remote
from scheduler_svc.cli.remote.runs_watch import follow

OUT = "-"


def _job(parser: ArgumentParser) -> None:
    parser.add_argument("job", help="its id or its name")


def _path(given: Namespace, more: str = "") -> str:
    return f"/jobs/{quote(given.job, safe='')}{more}"


def pair(text: str) -> tuple[str, str]:
    """Read `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def json_value(text: str) -> Any:
    """Read JSON; what is none is meant as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_json(path: str) -> Any:
    """Read a file of JSON, `-` for the standard input; raise Misused where it is none."""
    try:
        return json.loads(sys.stdin.read() if path == OUT else Path(path).read_text())
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Misused(f"{path}: is no JSON: {error}") from None


def _definition_switches(parser: ArgumentParser) -> None:
    parser.add_argument("--file", "-f", help="the definition as JSON; - for the standard input")
    parser.add_argument("--name")
    parser.add_argument("--description")
    parser.add_argument("--cron", action="append", metavar="EXPRESSION", help="repeatable: a union")
    parser.add_argument("--every", metavar="DURATION", help="such as 15m")
    parser.add_argument("--at", action="append", metavar="INSTANT", help="once then; repeatable")
    parser.add_argument("--timezone", metavar="ZONE", help="such as Europe/Berlin")
    parser.add_argument("--target", metavar="URL", help="what is called")
    parser.add_argument("--method")
    parser.add_argument("--body", type=json_value, help="JSON, or text")
    parser.add_argument("--header", type=pair, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", type=pair, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--set",
        type=pair,
        action="append",
        default=[],
        metavar="PATH=JSON",
        help="any other field, such as retry.max_attempts=6",
    )
    parser.add_argument("--dry-run", action="store_true", help="judge and show, and save nothing")


def definition(given: Namespace) -> dict[str, Any]:
    """Put a definition together: the file, and on top what the switches say."""
    made = read_json(given.file) if given.file else {}
    if not isinstance(made, dict):
        raise Misused(f"{given.file}: must be one JSON object")
    for path, value in _said(given):
        _put(made, path.split("."), value)
    return made


def _said(given: Namespace) -> list[tuple[str, Any]]:
    plain = {
        "name": given.name,
        "description": given.description,
        "schedule.cron": _one(given.cron),
        "schedule.every": given.every,
        "schedule.at": _one(given.at),
        "schedule.timezone": given.timezone,
        "target.url": given.target,
        "target.method": given.method,
        "target.body": given.body,
    }
    said = [(path, value) for path, value in plain.items() if value is not None]
    if given.header:
        said.append(("target.headers", dict(given.header)))
    if given.label:
        said.append(("labels", dict(given.label)))
    return said + [(path, json_value(value)) for path, value in given.set]


def _one(values: list[str] | None) -> str | list[str] | None:
    return values[0] if values is not None and len(values) == 1 else values


def _put(made: dict[str, Any], path: list[str], value: Any) -> None:
    *above, last = path
    for name in above:
        below = made.setdefault(name, {})
        if not isinstance(below, dict):
            raise Misused(f"{'.'.join(path)}: {name} is no object")
        made = below
    made[last] = value


def _create(remote: Remote, given: Namespace) -> None:
    sent = definition(given)
    once = {} if given.dry_run else {"Idempotency-Key": str(uuid4())}
    query = {"dry_run": given.dry_run or None}
    _show(remote.ask("POST", "/jobs", sent, query=query, headers=once).body, given)


def _show(job: dict[str, Any], given: Namespace) -> None:
    if given.json:
        show_json(job)
        return
    show.fields(
        [
            ("job", job["name"] or job["id"]),
            ("id", job["id"]),
            ("state", job["state"]),
            ("next", ", ".join(map(str, map(show.local, job["upcoming"][:3])))),
            *(("warning", warning["detail"]) for warning in job["warnings"]),
        ]
    )


def _update_switches(parser: ArgumentParser) -> None:
    _job(parser)
    _definition_switches(parser)
    parser.add_argument(
        "--if-match", metavar="ETAG", help="only where it is still that, as `get --json` told"
    )


def _update(remote: Remote, given: Namespace) -> None:
    """Change what was named, and leave the rest (RFC 7396)."""
    sent = definition(given)
    query = {"dry_run": given.dry_run or None}
    headers = {} if given.if_match is None else {"If-Match": given.if_match}
    answer = remote.ask("PATCH", _path(given), sent, query=query, headers=headers).body
    if not given.dry_run:
        _show(answer, given)
    elif given.json:
        show_json(answer)
    else:
        rows = zip(answer["before"], answer["after"], strict=False)
        show.table(
            ("fires now", "would fire"), ((was["local"], then["local"]) for was, then in rows)
        )
        per_day = answer["per_day"]
        show.fields([("a day", f"{per_day['before']} -> {per_day['after']}")])


def _pause_switches(parser: ArgumentParser) -> None:
    _job(parser)
    parser.add_argument("--reason")
    parser.add_argument("--until", metavar="INSTANT", help="it goes on by itself then")


def _pause(remote: Remote, given: Namespace) -> None:
    said = {"reason": given.reason, "until": given.until}
    sent = {name: value for name, value in said.items() if value is not None}
    _show(remote.ask("POST", _path(given, "/pause"), sent).body, given)


def _resume_switches(parser: ArgumentParser) -> None:
    _job(parser)
    parser.add_argument("--missed", choices=("skip", "once", "all"), help="what passed meanwhile")


def _resume(remote: Remote, given: Namespace) -> None:
    sent = {} if given.missed is None else {"missed": given.missed}
    _show(remote.ask("POST", _path(given, "/resume"), sent).body, given)


def _trigger_switches(parser: ArgumentParser) -> None:
    _job(parser)
    parser.add_argument("--body", type=json_value, help="in place of the job's own")
    parser.add_argument("--header", type=pair, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--overlap", choices=("allow",), help="also beside one that runs")
    parser.add_argument("--wait", action="store_true", help="until it has ended; 1 where not well")


def _trigger(remote: Remote, given: Namespace) -> int | None:
    sent: dict[str, Any] = {} if given.body is None else {"body": given.body}
    if given.header:
        sent["headers"] = dict(given.header)
    if given.overlap:
        sent["overlap"] = given.overlap
    once = {"Idempotency-Key": str(uuid4())}
    run = remote.ask("POST", _path(given, "/trigger"), sent, headers=once).body
    if given.wait:
        run = follow(remote, run["id"])
    if given.json:
        show_json(run)
    else:
        show.fields([("run", run["id"]), ("status", run["status"]), ("reason", run["reason"])])
    return FAILED if given.wait and run["status"] != "succeeded" else None


def _delete_switches(parser: ArgumentParser) -> None:
    _job(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _delete(remote: Remote, given: Namespace) -> int | None:
    if not given.yes and not _agreed(f"Delete {given.job}? Its history stays. [y/N] "):
        print("nothing was deleted", file=sys.stderr)
        return FAILED
    remote.ask("DELETE", _path(given))
    return None


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Misused("say --yes: there is nobody to ask")
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


VERBS = (
    Verb("create", "Make a job", _definition_switches, _create),
    Verb("update", "Change parts of a job", _update_switches, _update),
    Verb("pause", "Let it fire no more", _pause_switches, _pause),
    Verb("resume", "Let it fire again", _resume_switches, _resume),
    Verb("trigger", "Run it now", _trigger_switches, _trigger),
    Verb("delete", "Delete a job", _delete_switches, _delete),
)
