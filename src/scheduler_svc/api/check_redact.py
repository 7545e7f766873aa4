"""Judging `target.redact`: names that are header names, pointers that are pointers."""

from collections.abc import Iterator

from scheduler_svc.api.check_headers import is_header_name
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import Redact
from scheduler_svc.domain.redaction import steps_of


def redact_faults(redact: Redact, pointer: str) -> Iterator[Fault]:
    """Name every fault: a rule that masks nothing would be believed."""
    for place, name in enumerate(redact.headers):
        if not is_header_name(name):
            yield Fault(f"{pointer}/headers/{place}", "is no header name")
    for place, text in enumerate(redact.pointers):
        try:
            steps_of(text)
        except ValueError as fault:
            yield Fault(f"{pointer}/pointers/{place}", str(fault))
