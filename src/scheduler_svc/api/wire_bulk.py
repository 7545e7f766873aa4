"""Requests and answers about many jobs at once (DESIGN, "Bulk")."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from scheduler_svc.api.problems import ProblemError
from scheduler_svc.domain.jobs import Definition, JobState

JOBS_MAX = 10_000


class BulkRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs to create, each as `POST /jobs` takes it."""

    jobs: Annotated[list[Definition], Meta(max_length=JOBS_MAX)]


class BulkError(Struct, frozen=True, kw_only=True):
    """Why an item was not created; pointers begin at the item."""

    code: str
    detail: str
    errors: list[ProblemError]


class BulkItem(Struct, frozen=True, kw_only=True):
    """What became of one item: its job's id, or why there is none."""

    index: int
    id: UUID | None
    error: BulkError | None = None


class BulkCreated(Struct, frozen=True, kw_only=True):
    """What became of the items, in their order."""

    created: int
    items: list[BulkItem]


class BulkFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs, as the list of jobs takes it: every condition that is given must hold."""

    state: JobState | None = None
    label: Annotated[
        list[Annotated[str, Meta(max_length=320)]],
        Meta(max_length=64, description="`key:value`; all must hold.", examples=[["team:billing"]]),
    ] = []
    name_prefix: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    q: Annotated[str, Meta(max_length=256)] | None = None


class BulkActionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action on all jobs that a filter matches; an empty filter needs `expect_count`."""

    action: Literal["pause", "resume", "delete", "trigger"]
    filter: BulkFilter
    expect_count: (
        Annotated[
            int, Meta(ge=0, description="Do nothing where the filter matches another number.")
        ]
        | None
    ) = None


class BulkActed(Struct, frozen=True, kw_only=True):
    """How many jobs matched, and of how many the action changed anything."""

    matched: int
    done: int
