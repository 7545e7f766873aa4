"""What applying a file of jobs takes and answers."""

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from scheduler_svc.api.wire_bulk import JOBS_MAX
from scheduler_svc.api.wire_jobs import JobComparison
from scheduler_svc.domain.jobs import Definition, Name
from scheduler_svc.domain.ownership import OWNER_PATTERN

PLAN_LENGTH = 32
ApplyAction = Literal["create", "change", "delete"]
Plan = Annotated[
    str, Meta(pattern=f"^[0-9a-f]{{{PLAN_LENGTH}}}$", description="What the jobs were found to be.")
]
Owner = Annotated[str, Meta(pattern=OWNER_PATTERN, examples=["team-billing"])]


class ApplyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs as they shall be, each with a name, as `PUT /jobs/{name}` takes it."""

    jobs: Annotated[list[Definition], Meta(max_length=JOBS_MAX)]
    owner: (
        Annotated[
            Owner,
            Meta(description="Who keeps these jobs: each gets the label `scheduler.owner`."),
        ]
        | None
    ) = None
    prune: Annotated[
        bool, Meta(description="Delete jobs of the owner that the request does not name.")
    ] = False
    take_over: Annotated[bool, Meta(description="Also change jobs that another owner keeps.")] = (
        False
    )
    dry_run: Annotated[bool, Meta(description="Judge and compare, and save nothing.")] = False
    plan: (
        Annotated[
            Plan, Meta(description="Only where the jobs still are what a dry run found them to be.")
        ]
        | None
    ) = None


class ApplyChange(Struct, frozen=True, kw_only=True):
    """One part of a job that becomes another; a side is absent where it has no such part.

    Secrets are masked, and long parts named by their size.
    """

    pointer: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


class ApplyItem(Struct, frozen=True, kw_only=True):
    """What is done to one job; `index` is its place in the request, null where it is deleted."""

    index: int | None
    name: Name
    action: ApplyAction
    id: UUID | None
    changes: list[ApplyChange] = []
    fires: JobComparison | None = None


class Applied(Struct, frozen=True, kw_only=True):
    """How many jobs are created, changed, deleted, or were as they shall be.

    `items` tells of all but the unchanged: what is to be done, or, without `dry_run`, was.
    """

    created: int
    changed: int
    deleted: int
    unchanged: int
    plan: Plan
    items: list[ApplyItem]
