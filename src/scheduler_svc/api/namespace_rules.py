"""What holds for a namespace, as the database has it now: a new or changed job is judged by it."""

from typing import TYPE_CHECKING

from msgspec import Struct

from scheduler_svc.domain import namespaces
from scheduler_svc.domain.namespaces import Namespace, NamespaceEgress
from scheduler_svc.domain.quotas import Quotas, quotas_of
from scheduler_svc.store.namespaces import get_namespace
from scheduler_svc.store.pool import Connection

if TYPE_CHECKING:  # it holds what is known of these
    from scheduler_svc.api.context import Call


class NamespaceRules(Struct, frozen=True):
    """Where jobs of a namespace may call, None where the operator alone says so; and how much."""

    egress: NamespaceEgress | None
    quotas: Quotas


async def rules_of(conn: Connection, call: "Call") -> NamespaceRules:
    """Return the rules of the request's namespace."""
    return rules_in(await get_namespace(conn, call.namespace), call.deps.quotas)


def rules_in(found: Namespace | None, default: Quotas) -> NamespaceRules:
    """Return the rules in a namespace's settings, with what holds where it has none."""
    if found is None:
        return NamespaceRules(None, default)
    return NamespaceRules(namespaces.egress_of(found.settings), quotas_of(found.settings, default))
