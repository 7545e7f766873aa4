"""What is sent: the JSON of docs/api.md as typed dictionaries, every member of which may be absent.

The service judges; a type checker only helps with the names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Window = TypedDict("Window", {"from": str, "to": str})
Overlap = Literal["skip", "queue", "cancel", "allow"]
Missed = Literal["skip", "once", "all"]
Json = Any


class ScheduleSpec(TypedDict, total=False):
    """When: exactly one of `cron`, `every` and `at`, in a time zone."""

    cron: str | Sequence[str]
    every: str
    anchor: str
    at: str | Sequence[str]
    if_past: Literal["reject", "run", "skip"]
    timezone: str
    dst_gap: Literal["auto", "run_after", "skip"]
    dst_overlap: Literal["auto", "first", "second", "both"]
    spread: str
    start: str | None
    end: str | None
    max_runs: int | None
    exclude: Sequence[str | Window]


class TargetSpec(TypedDict, total=False):
    """Where and how a run is delivered."""

    type: Literal["http"]
    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    headers: Mapping[str, str]
    body: Json
    body_base64: str
    timeout: str
    redirects: int
    success_status: Sequence[int | str]
    redact: Mapping[str, Sequence[str]]
    tls: Mapping[str, Any] | None
    auth: Mapping[str, str] | None
    sign: bool | None
    format: Literal["plain", "cloudevents"]
    concurrency_key: str | None
    completion: Literal["response", "callback"]
    completion_timeout: str | None


class RetrySpec(TypedDict, total=False):
    """When a failed attempt is made again."""

    max_attempts: int
    initial_delay: str
    multiplier: float
    max_delay: str
    jitter: Literal["full", "none"]
    deadline: str | None
    delays: Sequence[str] | None
    on: Sequence[int | str]


class MisfireSpec(TypedDict, total=False):
    """What becomes of occurrences that were missed."""

    policy: Literal["once", "skip", "all"]
    grace: str
    max_lateness: str | None


class JobSpec(TypedDict, total=False):
    """A job as it is created: `schedule` and `target` are enough."""

    name: str | None
    description: str
    labels: Mapping[str, str]
    schedule: ScheduleSpec
    target: TargetSpec
    retry: RetrySpec
    misfire: MisfireSpec
    overlap: Overlap
    priority: int
    alerts: Mapping[str, Any]
    auto_pause_after: int
    delete_after_completion: bool
    retention: Mapping[str, Any] | None
