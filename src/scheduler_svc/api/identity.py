"""The key of identity tokens: made when the first job asks for one, by whoever is first.

A key is made outside the event loop: it takes some tenths of a second of a processor.
"""

import asyncio

from scheduler_svc.api.context import Call
from scheduler_svc.delivery.identity import NewKey, new_key
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Definition, OidcAuth
from scheduler_svc.domain.secrecy import IDENTITY, place_of
from scheduler_svc.store import identity_keys
from scheduler_svc.store.identity_keys import SealedKey
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.vault import KeyRing


async def ensure(conn: Connection, call: Call, definition: Definition) -> None:
    """See that there is a key where a job needs one, on the caller's connection."""
    ring = call.deps.ring
    if ring is None or not isinstance(definition.target.auth, OidcAuth):
        return
    if await identity_keys.signing_key(conn) is None:
        made = await asyncio.to_thread(new_key)
        await insert(conn, ring, made, now_ms=call.deps.now_ms())


async def insert(conn: Connection, ring: KeyRing, made: NewKey, *, now_ms: int) -> None:
    """Store a new key, sealed, where none signs yet."""
    sealed = ring.seal(made.private, place_of("", IDENTITY, made.id))
    await identity_keys.insert(
        conn, SealedKey(made.id, sealed), made.public, now=instant_at(now_ms)
    )
