"""`check-config`: says what is wrong with the settings, all at once, or shows them as read."""

import sys
from argparse import Namespace

from scheduler_svc.cli.command import OK, REFUSED, Command, no_switches
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.service.certificate import CertificateRefused, certificate_of
from scheduler_svc.settings import refuse_unsafe
from scheduler_svc.settings.names import plain, variable


def _run(_given: Namespace) -> int:
    """Print each setting as the environment would have it, secrets masked."""
    settings = settings_with()
    refuse_unsafe(settings)
    try:
        certificate_of(settings)
    except CertificateRefused as refused:
        print(f"scheduler-svc: {refused}", file=sys.stderr)
        return REFUSED
    for field, value in settings.shown().items():
        print(variable(field) if value is None else f"{variable(field)}={plain(field, value)}")
    return OK


COMMAND = Command("check-config", "check the settings and show them", no_switches, _run)
