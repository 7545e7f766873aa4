"""The words of the OpenAPI document that belong to no route."""

from typing import Any

from scheduler_svc.domain.jobs import NAME_PATTERN

Json = dict[str, Any]

INFO: Json = {
    "title": "scheduler-svc",
    "summary": "Calls HTTP targets on a schedule, durably.",
    "description": (
        "A *job* says what to call and when. Each instant its schedule names is an *occurrence*,"
        " and each occurrence ends as one *run*, with one or more *attempts*.\n\n"
        "Durations are strings like `30s` or `1h30m`; instants are RFC 3339, any offset in, UTC"
        " out. Unknown fields and parameters are refused. Errors are RFC 9457 problem documents"
        " that list all faults at once. Every answer carries `X-Request-ID`."
    ),
    "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
}
TAGS = (
    ("jobs", "What to call, and when."),
    ("runs", "What became of each occurrence."),
    ("backfills", "Ranges of past occurrences, sent at a rate."),
    ("replays", "Ended runs by filter, sent again at a rate."),
    ("concurrency keys", "Limits of calls at once and a second, and breakers."),
    ("schedules", "Try a schedule without saving it."),
    ("secrets", "What jobs need and nobody sees; what signs their requests; public keys."),
    ("namespaces", "What holds for all jobs of one."),
    ("api-keys", "Who may call this service, and for what."),
    ("events", "What happens to runs and jobs, as it happens."),
    ("audit", "Who changed what."),
    ("sessions", "A browser's cookie in place of a key."),
    ("replicas", "The processes of this service."),
    ("service", "Health, readiness, this document."),
    ("pages", "For people."),
)
# Structs whose name inside says too little outside, or is that of a part of what generators make.
SCHEMA_NAMES = {
    "Configuration": "OpenIdConfiguration",
    "Definition": "JobDefinition",
    "Told": "EventData",
}
_UUID: Json = {"type": "string", "format": "uuid"}
PATH_PARAMETERS: dict[str, Json] = {
    "/jobs/{": {
        "description": "The id or the name of a job.",
        "schema": {"type": "string", "pattern": NAME_PATTERN},
        "example": "nightly-report",
    },
    "/runs/{": {
        "description": "The id of a run.",
        "schema": _UUID,
        "example": "019b8f3a-1c00-8a4e-9d3b-6f2c1e7a5b40",
    },
    "/secrets/{": {
        "description": "The name of a secret.",
        "schema": {"type": "string", "pattern": NAME_PATTERN},
        "example": "billing-token",
    },
    "/signing-secrets/{": {
        "description": "The id of a signing secret.",
        "schema": _UUID,
        "example": "019b8f3a-1c00-7a4e-9d3b-6f2c1e7a5b41",
    },
    "/namespaces/{": {
        "description": "The name of a namespace.",
        "schema": {"type": "string", "pattern": NAME_PATTERN},
        "example": "default",
    },
    "/api-keys/{": {
        "description": "The id of an API key.",
        "schema": _UUID,
        "example": "019b8f3a-1c00-7a4e-9d3b-6f2c1e7a5b40",
    },
    "/concurrency-keys/{": {
        "description": "A concurrency key, percent-encoded: the one that targets name, or a host.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "api.example.com",
    },
    "/replays/{": {
        "description": "The id of a replay.",
        "schema": _UUID,
        "example": "019b8f3a-1c00-7a4e-9d3b-6f2c1e7a5b41",
    },
    "/backfills/{": {
        "description": "The id of a backfill.",
        "schema": _UUID,
        "example": "019b8f3a-1c00-7a4e-9d3b-6f2c1e7a5b40",
    },
}
HEADERS: Json = {
    "RequestId": {
        "description": "The caller's X-Request-ID where it has the form of one, else a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "IdempotencyReplayed": {
        "description": "True where this is the answer of an earlier request under the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "WWWAuthenticate": {
        "description": "How to authenticate (RFC 6750).",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
}
REPLAYED_HEADER: Json = {
    "Idempotency-Replayed": {"$ref": "#/components/headers/IdempotencyReplayed"}
}
RESPONSE_HEADERS: Json = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
SECURITY_SCHEMES: Json = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "An API key: `Authorization: Bearer sk_...`. Each operation names the scope that it"
            " needs; `admin` has them all. A key belongs to a namespace; one of all namespaces"
            " (`*`) says with the header `Scheduler-Namespace` which it means, `default` otherwise."
            " The development profile asks for no key."
        ),
    },
    "completion": {
        "type": "http",
        "scheme": "bearer",
        "description": "The Scheduler-Completion-Token that the run's attempt carried.",
    },
}
