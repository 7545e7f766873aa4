"""A target's own trust and identity, and the TLS contexts made of them: once, and shared by equals.

A context is made on a thread when the first connection needs it, for reading the system's
authorities takes 20 ms; one at a time, and kept while it is among the last CONTEXTS_MAX used.
Nothing here switches verification off.
"""

import asyncio
import hashlib
import ssl
from collections import OrderedDict

import msgspec

from scheduler_svc.delivery.tls import client_context, target_context
from scheduler_svc.domain.tls import Tls

CONTEXTS_MAX = 256


class Trust(msgspec.Struct, frozen=True, eq=False):
    """What `target.tls` says; `identity` is equal exactly where that is the same.

    A certificate has one key, so the key itself is no part of it.
    """

    identity: bytes
    ca: str | None
    certificate: str | None
    key: str | None
    server_name: str | None

    def __repr__(self) -> str:
        return f"Trust({self.identity.hex()[:16]})"


def trust_of(tls: Tls | None) -> Trust | None:
    """Make the trust of a target whose key is opened; None is the sender's own."""
    if tls is None:
        return None
    said = (tls.ca, tls.certificate, tls.server_name)
    identity = hashlib.sha256(msgspec.json.encode(said)).digest()
    return Trust(identity, tls.ca, tls.certificate, tls.key, tls.server_name)


class Contexts:
    """The TLS contexts of one sender."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self._own: ssl.SSLContext | None = None  # of all targets that say nothing
        self._known: OrderedDict[bytes, ssl.SSLContext] = OrderedDict()
        self._making = asyncio.Lock()

    async def context(self, trust: Trust | None) -> ssl.SSLContext:
        """Return the context of a target; raise ssl.SSLError where there can be none."""
        known = self._find(trust)
        if known is None:
            async with self._making:
                known = self._find(trust)
                if known is None:
                    known = await asyncio.to_thread(self._make, trust)
                    self._keep(trust, known)
        return known

    def _find(self, trust: Trust | None) -> ssl.SSLContext | None:
        if trust is None:
            return self._own
        known = self._known.get(trust.identity)
        if known is not None:
            self._known.move_to_end(trust.identity)
        return known

    def _make(self, trust: Trust | None) -> ssl.SSLContext:
        if trust is None:
            return client_context(self._ca_file)
        return target_context(
            ca=trust.ca, ca_file=self._ca_file, certificate=trust.certificate, key=trust.key
        )

    def _keep(self, trust: Trust | None, context: ssl.SSLContext) -> None:
        if trust is None:
            self._own = context
            return
        self._known[trust.identity] = context
        if len(self._known) > CONTEXTS_MAX:
            self._known.popitem(last=False)
