"""What a job is: the structs of its definition, with the limits that the wire enforces.

The JSON shape is the struct (DESIGN, "The job"): what a client sends, what is stored and what the
engine reads are one thing. A `Definition` holds only what a client may set; the rest is `Job`.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from scheduler_svc.domain.duration import DurationText
from scheduler_svc.domain.retention import Asked
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.tls import Tls

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,127}$"
LABEL_KEY_PATTERN = r"^[a-z0-9][a-z0-9._/-]{0,62}$"
NO_BODY = Raw(b"null")

Name = Annotated[
    str,
    Meta(pattern=NAME_PATTERN, description="Unique in its namespace.", examples=["nightly-report"]),
]
LabelKey = Annotated[str, Meta(pattern=LABEL_KEY_PATTERN)]
LabelValue = Annotated[str, Meta(max_length=256)]
Labels = Annotated[
    dict[LabelKey, LabelValue],
    Meta(max_length=64, examples=[{"team": "billing"}]),
]
StatusRule = Annotated[
    int | str,
    Meta(description="A status (`404`), a class (`2xx`) or a range (`200-299`).", examples=["2xx"]),
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Overlap = Literal["skip", "queue", "cancel", "allow"]
JobState = Literal["active", "paused", "completed"]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the definition: unknown fields are refused."""


class Redact(_Part, frozen=True, kw_only=True):
    """What captured responses never show."""

    headers: Annotated[
        list[str], Meta(max_length=50, description="Names, beside those that are masked always.")
    ] = []
    pointers: Annotated[
        list[str],
        Meta(
            max_length=50,
            description="Parts of a JSON body (RFC 6901, with `*` for every member or element).",
        ),
    ] = []


class BasicAuth(_Part, frozen=True, kw_only=True, tag_field="type", tag="basic"):
    """A user name and a password (RFC 7617)."""

    username: Annotated[str, Meta(max_length=255)]
    password: str


class BearerAuth(_Part, frozen=True, kw_only=True, tag_field="type", tag="bearer"):
    """A token that goes as `Authorization: Bearer` (RFC 6750)."""

    token: str


class OidcAuth(_Part, frozen=True, kw_only=True, tag_field="type", tag="oidc"):
    """An identity token of this service's own issuer, made for one audience."""

    audience: Annotated[str, Meta(min_length=1, max_length=1024)]


Auth = BasicAuth | BearerAuth | OidcAuth


class Target(_Part, frozen=True, kw_only=True):
    """Where and how a run is delivered."""

    url: Annotated[str, Meta(max_length=2083, examples=["https://example.test/report"])]
    type: Literal["http"] = "http"
    method: Method = "POST"
    headers: Annotated[dict[str, str], Meta(max_length=50)] = {}
    body: Annotated[
        Raw,
        Meta(description="Any JSON value; null sends none.", extra_json_schema={"default": None}),
    ] = field(default_factory=lambda: NO_BODY)
    body_base64: (
        Annotated[str, Meta(max_length=349_528, description="Bytes to send, instead of `body`.")]
        | UnsetType
    ) = UNSET
    timeout: DurationText = "30s"
    redirects: Annotated[int, Meta(ge=0, le=5)] = 0
    success_status: Annotated[
        list[StatusRule],
        Meta(min_length=1, max_length=50, extra_json_schema={"default": ["2xx"]}),
    ] = field(default_factory=lambda: ["2xx"])
    redact: Redact = field(default_factory=Redact)
    tls: Tls | None = None
    auth: Auth | None = None
    sign: bool | None = None
    format: Literal["plain", "cloudevents"] = "plain"
    concurrency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    completion: Literal["response", "callback"] = "response"
    completion_timeout: DurationText | None = None


class Retry(_Part, frozen=True, kw_only=True):
    """When a failed attempt is made again: a curve, or a list of delays."""

    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 4
    initial_delay: DurationText = "5s"
    multiplier: Annotated[float, Meta(ge=1, le=100)] = 4.0
    max_delay: DurationText = "1h"
    jitter: Literal["full", "none"] = "full"
    deadline: DurationText | None = None
    delays: Annotated[list[DurationText], Meta(min_length=1, max_length=100)] | None = None
    on: Annotated[
        list[StatusRule],
        Meta(max_length=50, extra_json_schema={"default": [408, 425, 429, "5xx"]}),
    ] = field(default_factory=lambda: [408, 425, 429, "5xx"])


class Misfire(_Part, frozen=True, kw_only=True):
    """What becomes of occurrences that could not be claimed within the grace time."""

    policy: Literal["once", "skip", "all"] = "once"
    grace: DurationText = "1m"
    max_lateness: DurationText | None = None


class FailuresOf(_Part, frozen=True, kw_only=True):
    """So many failures among the last so many runs."""

    failures: Annotated[int, Meta(ge=1, le=64)]
    runs: Annotated[int, Meta(ge=1, le=64)]


class Alerts(_Part, frozen=True, kw_only=True):
    """Whom to tell, and of what; without `url` nobody is told."""

    url: Annotated[str, Meta(max_length=2083)] | None = None
    every_failure: Annotated[bool, Meta(description="Tell of each failed run.")] = False
    failures_in_row: Annotated[int, Meta(ge=1, le=1000)] = 3
    failures_of: FailuresOf | None = None
    late_after: DurationText = "5m"
    never_ran: Annotated[
        bool, Meta(description="Tell when nothing started between two due instants.")
    ] = False
    slow_factor: (
        Annotated[
            float,
            Meta(ge=1, le=1000, description="Tell of runs beyond this many times the usual p95."),
        ]
        | None
    ) = None
    on_recovery: bool = True


class Definition(_Part, frozen=True, kw_only=True):
    """All that a client may set of a job."""

    name: Name | None = None
    description: Annotated[str, Meta(max_length=4096)] = ""
    labels: Labels = {}
    schedule: Schedule
    target: Target
    retry: Retry = field(default_factory=Retry)
    misfire: Misfire = field(default_factory=Misfire)
    overlap: Overlap = "skip"
    priority: Annotated[int, Meta(ge=-100, le=100, description="Higher goes first.")] = 0
    alerts: Alerts = field(default_factory=Alerts)
    auto_pause_after: Annotated[int, Meta(ge=0, le=1000)] = 0
    delete_after_completion: bool = False
    retention: Asked = UNSET


class Pause(Struct, frozen=True, kw_only=True):
    """Why a job is paused, by whom, since when, until when."""

    reason: str | None
    since: datetime
    until: datetime | None = None
    by: str | None = None
    recorded_until: datetime | None = None
    """The ledger holds every occurrence up to here; null where that is simply `since`."""


class LastRun(Struct, frozen=True, kw_only=True):
    """The newest run of a job, in short."""

    id: UUID
    status: str
    scheduled_for: datetime
    finished_at: datetime | None


class Job(Struct, frozen=True, kw_only=True):
    """A stored job: its definition and what the service keeps beside it."""

    id: UUID
    namespace: str
    definition: Definition
    state: JobState
    pause: Pause | None
    revision: int
    created_at: datetime
    updated_at: datetime
    next_fire_at: datetime | None
    scheduled_for: datetime | None = None
    runs_made: int = 0
    last_run: LastRun | None = None
