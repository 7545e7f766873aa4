"""`serve`: runs the service, as one replica or as several under one command."""

from argparse import SUPPRESS, ArgumentParser, Namespace

from scheduler_svc.cli.command import Command
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.service import process, workers
from scheduler_svc.service.lifeline import Lifeline
from scheduler_svc.service.siblings import Siblings
from scheduler_svc.settings import refuse_unsafe


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--workers", metavar="N", help="replicas to start, one process each (SCHEDULER_WORKERS)"
    )
    parser.add_argument(
        "--role", metavar="ROLE", help="all, api or engine: what to do (SCHEDULER_ROLE)"
    )
    parser.add_argument(
        "--accept-drift",
        action="store_const",
        const="true",
        help="start although jobs move under these versions (SCHEDULER_ACCEPT_DRIFT)",
    )
    # How one of several replicas is started by the process that keeps them.
    parser.add_argument("--lifeline", type=int, help=SUPPRESS)
    parser.add_argument("--siblings", type=int, help=SUPPRESS)


def _run(given: Namespace) -> int:
    settings = settings_with(
        workers=given.workers, role=given.role, accept_drift=given.accept_drift
    )
    refuse_unsafe(settings)
    if given.lifeline is not None:
        return process.serve(settings, Lifeline(given.lifeline), Siblings(given.siblings))
    if settings.workers > 1:
        return workers.serve(settings)
    return process.serve(settings)


COMMAND = Command("serve", "run the service until it is told to stop", _switches, _run)
