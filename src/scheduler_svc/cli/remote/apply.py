"""`apply`: show what a file of jobs would change, and change it in one request, all or nothing.

Promises that what is applied is what was shown: a job that somebody changed in between makes it a
refusal. Asks nobody, so that it may run where nobody is.
"""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from scheduler_svc.cli.files.fault import BadFile
from scheduler_svc.cli.files.jobs_file import Given, JobsFile, load
from scheduler_svc.cli.remote import plan, show
from scheduler_svc.cli.remote.ask import show_json, single
from scheduler_svc.cli.remote.connection import Misused, Refused, Remote

CHANGES = 5
"""The exit code of a dry run that found something to do, where that was asked for."""
PATH = "/jobs/apply"


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--file",
        "-f",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of jobs, a folder of such, or - for the standard input; repeatable",
    )
    parser.add_argument("--owner", metavar="NAME", help="who keeps these jobs, where no file says")
    parser.add_argument(
        "--prune", action="store_true", help="delete jobs of the owner that no file names"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and do nothing")
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help=f"with --dry-run: leave with {CHANGES} where there is something to do",
    )
    parser.add_argument(
        "--take-over", action="store_true", help="also change jobs that another owner keeps"
    )
    parser.add_argument(
        "--allow-empty", action="store_true", help="let --prune delete all that the owner has"
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of a file of jobs, and leave"
    )


def _apply(remote: Remote, given: Namespace) -> int | None:
    if given.schema:
        _print_schema()
        return None
    try:
        found = load(given.file, given.owner)
        sent = _request(found, given)
        planned = _ask(remote, found, {**sent, "dry_run": True})
    except BadFile as bad:
        raise Misused(str(bad)) from None
    nothing = not planned["items"]
    if not given.json:
        plan.shown(planned, {one.name: one.job for one in found.jobs})
    if given.dry_run or nothing:
        if given.json:
            show_json(planned)
        return CHANGES if given.dry_run and given.detailed_exitcode and not nothing else None
    done = _ask(remote, found, {**sent, "plan": planned["plan"]})
    if given.json:
        show_json(done)
    else:
        show.console().print(plan.counted("Done", done, ("created", "changed", "deleted")))
    return None


def _print_schema() -> None:
    from scheduler_svc.api.jobs_file import schema  # noqa: PLC0415 - no question needs it

    sys.stdout.write(schema().decode() + "\n")


def _request(found: JobsFile, given: Namespace) -> dict[str, Any]:
    if not given.file:
        raise Misused("say with --file what is to be applied")
    if given.prune and found.owner is None:
        raise Misused("--prune needs an owner: --owner, or 'owner' in the file")
    if given.prune and not found.jobs and not given.allow_empty:
        raise Misused(
            f"no file names a job, and --prune would delete all of {found.owner!r};"
            " say --allow-empty where that is meant"
        )
    kept = {} if found.owner is None else {"owner": found.owner}
    return {
        "jobs": [one.job for one in found.jobs],
        "prune": given.prune,
        "take_over": given.take_over,
        **kept,
    }


def _ask(remote: Remote, found: JobsFile, sent: dict[str, Any]) -> dict[str, Any]:
    """Send the request; raise Refused with the place of each fault in the files."""
    try:
        answer: dict[str, Any] = remote.ask("POST", PATH, sent).body
    except Refused as refused:
        errors = [_placed(error, found.jobs) for error in refused.problem.get("errors", ())]
        raise Refused(refused.status, {**refused.problem, "errors": errors}) from None
    return answer


def _placed(error: dict[str, Any], jobs: list[Given]) -> dict[str, Any]:
    """Say of a fault in which line it is, and of which job."""
    _, noun, number, *rest = [*str(error.get("pointer", "")).split("/"), "", ""]
    if noun != "jobs" or not number.isdigit() or int(number) >= len(jobs):
        return error
    one = jobs[int(number)]
    below = "".join(f"/{word}" for word in rest if word)
    place = one.source.place(f"/jobs/{one.at}{below}", below)
    named = show.harmless(f"{place}: job {one.name!r} {below}".rstrip())
    return {**error, "place": named, "job": one.name}


COMMAND = single("apply", "make jobs of a running service what files say", _switches, _apply)
