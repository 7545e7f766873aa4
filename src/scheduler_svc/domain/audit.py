"""The vocabulary of the audit log: actions, actors, resources, and one entry as a value.

Promises one closed list of actions. What an entry holds is shown to administrators: whoever makes
one has masked the secrets before. Pure: what makes two states a difference is `audit_change`.
"""

from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Literal
from uuid import UUID

from msgspec import Struct, json

IDS_MAX = 200
"""Ids that the entry of a bulk request lists; of more it has a digest."""


class Action(StrEnum):
    """What was done: a resource and a participle. Of many resources at once, their plural."""

    JOB_CREATED = "job.created"
    JOB_UPDATED = "job.updated"
    JOB_DELETED = "job.deleted"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_TRIGGERED = "job.triggered"
    JOBS_CREATED = "jobs.created"
    JOBS_PAUSED = "jobs.paused"
    JOBS_RESUMED = "jobs.resumed"
    JOBS_DELETED = "jobs.deleted"
    JOBS_TRIGGERED = "jobs.triggered"
    RUN_CANCELLED = "run.cancelled"
    RUN_REPLAYED = "run.replayed"
    RUN_COMPLETED = "run.completed"
    BACKFILL_CREATED = "backfill.created"
    BACKFILL_CANCELLED = "backfill.cancelled"
    REPLAY_CREATED = "replay.created"
    REPLAY_CANCELLED = "replay.cancelled"
    CONCURRENCY_KEY_UPDATED = "concurrency_key.updated"
    CONCURRENCY_KEY_DELETED = "concurrency_key.deleted"
    NAMESPACE_UPDATED = "namespace.updated"
    NAMESPACE_RELEASED = "namespace.released"
    API_KEY_CREATED = "api_key.created"
    API_KEY_ROTATED = "api_key.rotated"
    API_KEY_REVOKED = "api_key.revoked"
    SECRET_UPDATED = "secret.updated"  # noqa: S105 - a name
    SECRET_DELETED = "secret.deleted"  # noqa: S105 - a name
    SIGNING_SECRET_CREATED = "signing_secret.created"  # noqa: S105 - a name
    SIGNING_SECRET_EXPIRED = "signing_secret.expired"  # noqa: S105 - a name
    IDENTITY_KEY_ROTATED = "identity_key.rotated"
    SECRETS_RESEALED = "secrets.resealed"
    AUDIT_PRUNED = "audit.pruned"


ActorKind = Literal["key", "token", "bootstrap", "anyone", "target", "engine", "cli", "database"]
ResourceKind = Literal[
    "job",
    "jobs",
    "run",
    "backfill",
    "replay",
    "concurrency_key",
    "namespace",
    "api_key",
    "secret",
    "signing_secret",
    "identity_key",
    "audit",
]


class Actor(Struct, frozen=True, kw_only=True):
    """Who did it: `id` is that of the credential, never what opens; `name` is for people."""

    kind: ActorKind
    id: str
    name: str | None = None


ENGINE = Actor(kind="engine", id="engine")
"""What the service decides by itself; statements of the engine write the same words."""


class Resource(Struct, frozen=True, kw_only=True):
    """What it was done to; `job_id` is the job that it belongs to, or is."""

    kind: ResourceKind
    id: str | None = None
    name: str | None = None
    job_id: UUID | None = None


class Many(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a bulk request did: how many, which, and a digest of the ids that are not listed."""

    count: int
    ids: list[UUID]
    rest_sha256: str | None = None


class Draft(Struct, frozen=True, kw_only=True):
    """One change as it is written beside its effect; `before`, `after` and `many` are JSON."""

    namespace: str
    actor: Actor
    action: Action
    resource: Resource
    address: str | None = None
    request_id: str | None = None
    before: str | None = None
    after: str | None = None
    many: str | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """One change as it is stored; the words are as they were written, known today or not."""

    id: UUID
    at: datetime
    namespace: str
    actor_kind: str
    actor_id: str
    actor_name: str | None
    address: str | None
    request_id: str | None
    action: str
    resource_kind: str
    resource_id: str | None
    resource_name: str | None
    job_id: UUID | None
    before: str | None
    after: str | None
    many: str | None


def kind_of_actor(caller_id: str) -> ActorKind:
    """Tell what a caller is by the id of its credential."""
    match caller_id.partition(":")[0]:
        case "":
            return "anyone"
        case "key":
            return "key"
        case "bootstrap":
            return "bootstrap"
        case "database":
            return "database"
        case _:
            return "token"


def many_of(ids: list[UUID]) -> str:
    """Write which resources a bulk request changed: the first of them, and a digest of the rest."""
    listed, rest = ids[:IDS_MAX], ids[IDS_MAX:]
    digest = sha256(b"".join([one.bytes for one in rest])).hexdigest() if rest else None
    return json.encode(Many(count=len(ids), ids=listed, rest_sha256=digest)).decode()
