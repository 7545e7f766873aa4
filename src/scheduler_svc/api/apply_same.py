"""Whether a definition is the one that is stored: quickly where it is, and by meaning in a body.

Promises to say so only of what a PUT would leave as it is, but for one thing: the same members in
another order, and a body that says the same JSON in other words, count as the same. A file of YAML
holds values, and not their spelling.
"""

import json
import math
from typing import Any

from msgspec import UNSET, structs

from scheduler_svc.api.check_secrets import stored_secrets
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.secrecy import MASK, change_target


def is_same(given: Definition, stored: Definition) -> bool:
    """Tell whether what was sent, not judged yet, surely means what is stored."""
    schedule = given.schedule
    if schedule.every is not UNSET and schedule.anchor is UNSET:
        schedule = structs.replace(schedule, anchor=stored.schedule.anchor)
    if schedule != stored.schedule:
        return False
    target = given.target
    if target != stored.target:
        known = stored_secrets(stored)
        target = change_target(
            target, lambda where, value: known.get(where, value) if value == MASK else value
        )
    with_parts = structs.replace(given, schedule=schedule, target=target)
    return with_kept_body(with_parts, stored) == stored


def with_kept_body(given: Definition, stored: Definition) -> Definition:
    """Leave the stored body in its spelling where the given one says the same."""
    ours, theirs = bytes(given.target.body), bytes(stored.target.body)
    if ours == theirs or _meaning(ours) != _meaning(theirs):
        return given
    return structs.replace(given, target=structs.replace(given.target, body=stored.target.body))


def _meaning(body: bytes) -> Any:
    """Return a body as values that are equal where it is: 1, 1.0 and true are three of them."""
    return json.loads(body, parse_int=_integer, parse_float=_real)


def _integer(text: str) -> tuple[str, str]:
    return "integer", text


def _real(text: str) -> tuple[str, str]:
    value = float(text)
    return "real", repr(value) if math.isfinite(value) else text
