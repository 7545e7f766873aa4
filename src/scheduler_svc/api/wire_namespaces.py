"""How a namespace looks from outside."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from scheduler_svc.api.wire import NextCursor, Stamp, stamp, stamp_or_none
from scheduler_svc.domain import namespaces
from scheduler_svc.domain.holds import Hold, Missed, Reason
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.namespaces import EgressLists, NamespaceSettings
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.domain.retention import Retention
from scheduler_svc.store.holds import MissedWork

READ_ONLY = frozenset({"name", "held", "usage", "revision", "created_at", "updated_at"})
SETTINGS = msgspec.json.Decoder(NamespaceSettings)


class HeldNamespace(Struct, frozen=True, kw_only=True):
    """Why a namespace fires nothing, and what waits; counts are null in a list."""

    reason: Reason
    since: Stamp
    alive_at: Annotated[
        Stamp | None, Meta(description="When the database last knew a replica alive.")
    ]
    missed: Annotated[
        Missed | None, Meta(description="What was decided: it is being let go. Null: it waits.")
    ]
    overdue: Annotated[
        int | None, Meta(description="Jobs with an occurrence that has passed, paused ones aside.")
    ] = None
    oldest: Annotated[Stamp | None, Meta(description="The oldest of these occurrences.")] = None
    runs: Annotated[int | None, Meta(description="Runs that have not ended.")] = None


class NamespaceUsage(Struct, frozen=True, kw_only=True):
    """What a namespace has now, beside what is in force: its own quota, or the operator's."""

    jobs: int
    jobs_max: int | None
    runs_this_minute: int
    runs_per_minute: int | None


class Namespace(Struct, frozen=True, kw_only=True):
    """A namespace: what holds for all its jobs; revision 0 is one without settings of its own."""

    name: str
    egress: EgressLists
    alerts: Alerts | None
    held: HeldNamespace | None
    retention: Retention | None
    quotas: Quotas
    usage: NamespaceUsage | None = None
    revision: int
    created_at: Stamp
    updated_at: Stamp


class NamespaceList(Struct, frozen=True, kw_only=True):
    """A page of namespaces, by name."""

    items: list[Namespace]
    next_cursor: NextCursor


def held_view(hold: Hold, missed: MissedWork | None = None) -> HeldNamespace:
    """Write how a namespace is held."""
    return HeldNamespace(
        reason=hold.reason,
        since=stamp(hold.since),
        alive_at=stamp_or_none(hold.alive_at),
        missed=hold.missed,
        overdue=None if missed is None else missed.overdue,
        oldest=None if missed is None else stamp_or_none(missed.oldest),
        runs=None if missed is None else missed.runs,
    )


def namespace_view(
    stored: namespaces.Namespace,
    held: HeldNamespace | None = None,
    usage: NamespaceUsage | None = None,
) -> Namespace:
    """Write a namespace for the answer."""
    settings = SETTINGS.decode(stored.settings)
    return Namespace(
        name=stored.name,
        egress=settings.egress,
        alerts=settings.alerts,
        held=held,
        retention=settings.retention or None,
        quotas=settings.quotas,
        usage=usage,
        revision=stored.revision,
        created_at=stamp(stored.created_at),
        updated_at=stamp(stored.updated_at),
    )
