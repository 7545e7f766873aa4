"""Judging imported jobs as the API judges them, before anybody sends them.

Promises that what is written into the file is what PUT takes, bar what only the service knows: its
namespaces, quotas and egress rules. An address that needs leave of the operator is told of.
"""

import json
import os
from typing import Any, Final

from scheduler_svc.api.check_definition import Bench, read_definition
from scheduler_svc.domain.egress import EgressRules, check_literal
from scheduler_svc.domain.errors import Refused
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.expression import ANY_JOB
from scheduler_svc.domain.imports.finding import Finding
from scheduler_svc.domain.template_places import parse_query
from scheduler_svc.domain.url import parse_url
from scheduler_svc.store.vault import KEY_BYTES, KeyRing

_NONE: Final = EgressRules()
_URL: Final = "/target/url"


def judge(draft: Draft) -> None:
    """Find what the API would refuse; what is found keeps the job out of the file."""
    if not draft.written:
        return
    now = draft.options.now
    bench = Bench(
        now_ms=epoch_ms(now),
        job_id=ANY_JOB,
        created_at=now,
        egress=_NONE,
        namespace="default",
        ring=KeyRing([os.urandom(KEY_BYTES)], os.urandom),
        public_url="https://scheduler.invalid",
        secrets=frozenset(),
    )
    try:
        read_definition(encoded(draft.ordered()), bench)
    except Refused as refused:
        for fault in refused.faults:
            if fault.pointer == _URL and _needs_leave(draft.spec):
                _tell_of_egress(draft, fault.detail)
            else:
                draft.findings.append(
                    Finding("shape", "not_importable", f"{fault.pointer} {fault.detail}")
                )


def encoded(spec: dict[str, Any]) -> bytes:
    """Write a definition as the body of a request."""
    return json.dumps(spec, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _needs_leave(spec: dict[str, Any]) -> bool:
    url = parse_url(parse_query(spec["target"]["url"])[0])
    return check_literal(url, _NONE) is not None


def _tell_of_egress(draft: Draft, reason: str) -> None:
    draft.decide("target", f"{reason}: the operator must allow it (SCHEDULER_EGRESS_ALLOW)")
