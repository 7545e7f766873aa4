"""What a namespace may call, as the database has it now: a changed target is judged by it."""

from scheduler_svc.domain import namespaces
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.store.namespaces import get_namespace
from scheduler_svc.store.pool import Connection


async def egress_of(conn: Connection, namespace: str) -> NamespaceEgress | None:
    """Return the rules of a namespace; None where it has none of its own."""
    found = await get_namespace(conn, namespace)
    return None if found is None else namespaces.egress_of(found.settings)
