"""Judging `completion: callback`: that this service can be reported to, and in what time."""

from collections.abc import Iterator

from scheduler_svc.api.check_target import duration_faults
from scheduler_svc.domain.completion import TIMEOUT_MS_MAX, TIMEOUT_MS_MIN, Callbacks
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import Target


def completion_faults(target: Target, callbacks: Callbacks) -> Iterator[Fault]:
    """Name every fault of how a target's runs end; pointers are relative to the target."""
    if target.completion == "callback" and callbacks.fault is not None:
        yield Fault("/completion", f"'callback' {callbacks.fault}; or use 'response'")
    if target.completion != "callback" and target.completion_timeout is not None:
        yield Fault(
            "/completion_timeout", "has no effect without 'completion': 'callback'; remove it"
        )
    yield from duration_faults(
        "/completion_timeout", target.completion_timeout, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX
    )
