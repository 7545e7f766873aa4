"""Following what happens: one run to its end, or all of them as they go by."""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from scheduler_svc.cli.remote import show
from scheduler_svc.cli.remote.ask import Verb
from scheduler_svc.cli.remote.connection import Refused, Remote, Unreachable

ENDED = frozenset({"succeeded", "failed", "skipped", "cancelled"})
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
AGAIN_SECONDS, AGAIN_MAX = 1.0, 10
PASSING = frozenset({429, 503})
"""Statuses that say to come again: a replica that leaves, or has no place now."""
GAP = "gap"


def follow(remote: Remote, run_id: str) -> dict[str, Any]:
    """Ask for a run until it has ended, less often the longer it takes."""
    asked = failures = 0
    while True:
        try:
            run: dict[str, Any] = remote.get(f"/runs/{run_id}")
        except (Refused, Unreachable) as error:
            failures += 1
            if not _passes(error) or failures > AGAIN_MAX:
                raise
            time.sleep(AGAIN_SECONDS)
            continue
        if run["status"] in ENDED:
            return run
        time.sleep(PAUSES[min(asked, len(PAUSES) - 1)])
        asked, failures = asked + 1, 0


def _passes(error: Exception) -> bool:
    """Tell whether what stood in the way may be gone in a moment."""
    return not isinstance(error, Refused) or error.status in PASSING


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("--job", metavar="ID", help="only of this job, by its id")
    parser.add_argument("--count", type=int, help="end after so many events")


def _tail(remote: Remote, given: Namespace) -> None:
    """Print what happens to runs, as it happens; one line an event, JSON where asked."""
    left = given.count
    for event in events(remote, given.job):
        if event["event"].startswith("job."):
            continue
        if given.json:
            print(json.dumps(event), flush=True)
        elif event["event"] == GAP:
            print("gap: some of what happened is gone; read the lists again", flush=True)
        else:
            parts = (show.local(event["at"]), event["event"], event["id"], event["job_id"])
            print("  ".join(show.harmless(str(part)) for part in parts), flush=True)
        if left is not None and event["event"] != GAP:
            left -= 1
            if left <= 0:
                return


def events(remote: Remote, job: str | None) -> Iterator[dict[str, Any]]:
    """Yield events for ever; a stream that ends is taken up where it was, some times."""
    last, failures = "", 0
    while True:
        try:
            for number, event in _stream(remote, job, last):
                last, failures = number or last, 0
                yield event
        except (OSError, HTTPException, Unreachable, Refused) as error:
            failures += 1
            if not _passes(error):
                raise
            if failures > AGAIN_MAX:
                raise Unreachable(f"the stream from {remote.url} ended: {error}") from None
        time.sleep(AGAIN_SECONDS)


def _stream(remote: Remote, job: str | None, last: str) -> Iterator[tuple[str, dict[str, Any]]]:
    number, name = "", ""
    with remote.stream("/events", {"Last-Event-ID": last} if last else {}, job_id=job) as response:
        for raw in response:
            field, _, text = raw.decode().rstrip("\r\n").partition(": ")
            match field:
                case "id":
                    number = text
                case "event":
                    name = text
                case "data":
                    yield number, {"event": name, **json.loads(text)}
                case _:
                    pass  # a comment, or the end of an event


VERBS = (Verb("tail", "Show what happens to runs, as it happens", _switches, _tail),)
