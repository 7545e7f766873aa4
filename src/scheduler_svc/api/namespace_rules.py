"""What holds for a namespace, as the database has it now: a new or changed job is judged by it."""

from msgspec import Struct

from scheduler_svc.api.context import Call
from scheduler_svc.domain import namespaces
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.quotas import Quotas, quotas_of
from scheduler_svc.store.namespaces import get_namespace
from scheduler_svc.store.pool import Connection


class NamespaceRules(Struct, frozen=True):
    """Where jobs of a namespace may call, None where the operator alone says so; and how much."""

    egress: NamespaceEgress | None
    quotas: Quotas


async def rules_of(conn: Connection, call: Call) -> NamespaceRules:
    """Return the rules of the request's namespace."""
    found = await get_namespace(conn, call.namespace)
    default = call.deps.quotas
    if found is None:
        return NamespaceRules(None, default)
    return NamespaceRules(namespaces.egress_of(found.settings), quotas_of(found.settings, default))
