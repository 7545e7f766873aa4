"""The rules of namespaces as they were last read, for creates that check them as they write.

Promises nothing about their being current: whoever judges by them has the database compare their
settings with those that hold, in the statement that writes, and reads anew where they differ.
"""

from collections import OrderedDict

from msgspec import Struct

from scheduler_svc.api.known_parts import KnownParts
from scheduler_svc.api.namespace_rules import NamespaceRules, rules_in
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.store.job_create import Settings
from scheduler_svc.store.namespaces import get_namespace
from scheduler_svc.store.pool import Pool, connection

KNOWN_MAX = 1000
PARTS_MAX = 16
"""Origins, sets of headers and sets of the small parts that are remembered of a namespace."""


class Known(Struct, frozen=True):
    """Rules, the settings that they are of, and what was judged by them."""

    rules: NamespaceRules
    settings: Settings
    parts: KnownParts


class KnownRules:
    """Those of the namespaces asked for last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def of(self, pool: Pool, namespace: str, default: Quotas) -> Known:
        """Return the rules of a namespace, from memory where they are known."""
        known = self._known.get(namespace)
        if known is None:
            async with connection(pool) as conn:
                found = await get_namespace(conn, namespace)
            told = (None, None) if found is None else (found.revision, found.updated_at)
            rules = rules_in(found, default)
            parts = KnownParts(body_max=rules.quotas.body_max, kept_max=PARTS_MAX)
            known = Known(rules, Settings(*told), parts)
            self._known[namespace] = known
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return known

    def forget(self, namespace: str) -> None:
        """Read a namespace anew the next time."""
        self._known.pop(namespace, None)
