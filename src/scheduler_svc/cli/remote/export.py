"""`export`: the jobs of a running service as a file, which `apply` takes and finds nothing to do.

Promises one form for equal jobs, in the order of their names. Secrets are in it as masks: they keep
what the service has, and mean nothing to another one.
"""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from scheduler_svc.cli.files.canonical import as_document, as_yaml
from scheduler_svc.cli.remote.ask import show_json, single
from scheduler_svc.cli.remote.connection import Remote
from scheduler_svc.cli.remote.jobs import STATES
from scheduler_svc.cli.remote.pages import everything
from scheduler_svc.domain.ownership import OWNER_LABEL


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("--owner", metavar="NAME", help="only the jobs that this owner keeps")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY:VALUE", help="repeatable: all hold"
    )
    parser.add_argument("--name-prefix", metavar="TEXT")
    parser.add_argument("-q", metavar="TEXT", help="part of the name or the description")


def _export(remote: Remote, given: Namespace) -> None:
    owned = [] if given.owner is None else [f"{OWNER_LABEL}:{given.owner}"]
    query = {
        "state": given.state,
        "label": [*given.label, *owned],
        "name_prefix": given.name_prefix,
        "q": given.q,
        "sort": "name",
    }
    found: list[dict[str, Any]] = list(everything(remote, "/jobs", **query))
    named = [job for job in found if job["name"] is not None]
    if len(named) < len(found):
        left_out = len(found) - len(named)
        print(f"{left_out} jobs have no name; no file can hold them", file=sys.stderr)
    document = as_document(named, given.owner)
    if given.json:
        show_json(document)
    else:
        sys.stdout.write(as_yaml(document))


COMMAND = single("export", "print jobs of a running service as a file", _switches, _export)
