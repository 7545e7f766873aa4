"""`import`: definitions of another scheduler become a file of jobs and a report of differences.

Exit codes: 0 all was written; 1 something was left out; 2 a file, or what was typed, can not be
read, and nothing is written.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command
from scheduler_svc.cli.imports.dialects import DIALECTS
from scheduler_svc.cli.imports.documents import OUT, Unreadable, read_text
from scheduler_svc.cli.imports.judge import judge
from scheduler_svc.cli.imports.output import written
from scheduler_svc.cli.imports.report import as_json, print_text
from scheduler_svc.domain.imports.draft import Draft, Options
from scheduler_svc.domain.imports.target import TemplateMisused, judge_template
from scheduler_svc.domain.zones import zone_fault

DEFINITIONS_MAX: Final = 50_000


def _switches(parser: ArgumentParser) -> None:
    told = "; ".join(f"{name}: {one.summary}" for name, one in DIALECTS.items())
    parser.add_argument("dialect", choices=tuple(DIALECTS), help=told)
    parser.add_argument("files", nargs="+", metavar="FILE", help="- for the standard input")
    parser.add_argument(
        "--target",
        "--url-template",
        metavar="URL",
        help="what runs jobs that bring no address, such as https://runner.example.com/run/{name}",
    )
    parser.add_argument("--timezone", metavar="ZONE", help="of the host that ran them (UTC)")
    parser.add_argument("--system", action="store_true", help="crontab: lines have a user")
    parser.add_argument("--suspended", action="store_true", help="also what is switched off there")
    parser.add_argument("--output", "-o", metavar="FILE", default=OUT, help="the file of jobs")
    parser.add_argument("--report", choices=("text", "json"), default="text")
    parser.add_argument("--all", action="store_true", help="report also what is the same")
    parser.add_argument("--now", type=instant, metavar="INSTANT", help="judge as of then")


def instant(text: str) -> datetime:
    """Read an instant with an offset."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found.astimezone(UTC)


def _run(given: Namespace) -> int:
    try:
        drafts = imported(given.dialect, given.files, _options(given))
        _write(given.output, written(given.dialect, given.files, drafts))
    except (Unreadable, TemplateMisused) as wrong:
        print(f"scheduler-svc: {_one_line(str(wrong))}", file=sys.stderr)
        return REFUSED
    # The report makes room where the file of jobs goes to the standard output.
    stream = sys.stderr if given.output == OUT else sys.stdout
    if given.report == "json":
        print(as_json(given.dialect, drafts), file=stream)
    else:
        print_text(drafts, stream, everything=given.all)
    return OK if all(draft.written for draft in drafts) else FAILED


def _options(given: Namespace) -> Options:
    if given.target is not None:
        judge_template(given.target)
    if given.timezone is not None and (fault := zone_fault(given.timezone)):
        raise Unreadable(f"--timezone: {fault}")
    return Options(
        now=given.now or datetime.now(UTC),
        target=given.target,
        timezone=given.timezone,
        suspended=given.suspended,
        system=given.system,
    )


def imported(dialect: str, paths: Sequence[str], options: Options) -> list[Draft]:
    """Read all files and judge what they define."""
    taken: set[str] = set()
    drafts: list[Draft] = []
    for path in paths:
        source = "stdin" if path == OUT else path
        drafts += DIALECTS[dialect].read(read_text(path), source, options, taken)
        if len(drafts) > DEFINITIONS_MAX:
            raise Unreadable(f"{source}: more than {DEFINITIONS_MAX} definitions")
    for draft in drafts:
        judge(draft)
    return drafts


def _write(path: str, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    if path == OUT:
        sys.stdout.write(data.decode())
        sys.stdout.flush()
        return
    fresh = Path(f"{path}.{os.getpid()}.part")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise Unreadable(f"{path}: {error.strerror}") from None


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


COMMAND = Command(
    "import", "make a file of jobs of another scheduler's definitions", _switches, _run
)
