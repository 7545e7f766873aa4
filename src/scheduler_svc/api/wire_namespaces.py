"""How a namespace looks from outside."""

import msgspec
from msgspec import Struct

from scheduler_svc.api.wire import NextCursor, Stamp, stamp
from scheduler_svc.domain import namespaces
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.namespaces import EgressLists, NamespaceSettings
from scheduler_svc.domain.quotas import Quotas

READ_ONLY = frozenset({"name", "usage", "revision", "created_at", "updated_at"})
SETTINGS = msgspec.json.Decoder(NamespaceSettings)


class NamespaceUsage(Struct, frozen=True, kw_only=True):
    """What a namespace has now, beside what is in force: its own quota, or the operator's."""

    jobs: int
    jobs_max: int | None
    runs_this_minute: int
    runs_per_minute: int | None


class Namespace(Struct, frozen=True, kw_only=True):
    """A namespace: what holds for all its jobs."""

    name: str
    egress: EgressLists
    alerts: Alerts | None
    quotas: Quotas
    usage: NamespaceUsage | None = None
    revision: int
    created_at: Stamp
    updated_at: Stamp


class NamespaceList(Struct, frozen=True, kw_only=True):
    """A page of namespaces, by name."""

    items: list[Namespace]
    next_cursor: NextCursor


def namespace_view(stored: namespaces.Namespace, usage: NamespaceUsage | None = None) -> Namespace:
    """Write a namespace for the answer."""
    settings = SETTINGS.decode(stored.settings)
    return Namespace(
        name=stored.name,
        egress=settings.egress,
        alerts=settings.alerts,
        quotas=settings.quotas,
        usage=usage,
        revision=stored.revision,
        created_at=stamp(stored.created_at),
        updated_at=stamp(stored.updated_at),
    )
