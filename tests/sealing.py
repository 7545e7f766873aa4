"""Key rings of tests, the address of the service there, and secrets kept as the API keeps them."""

import base64
import os
from datetime import UTC, datetime
from uuid import UUID, uuid4

from scheduler_svc.delivery.signing import public_text
from scheduler_svc.domain.jobs import Target
from scheduler_svc.domain.secrecy import (
    NAMED,
    SIGNING,
    change_target,
    place_of,
    place_of_target,
)
from scheduler_svc.store import secrets, signing_secrets
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.signing_secrets import Kind, SigningSecret
from scheduler_svc.store.vault import KeyRing

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
KEY_TEXT, OTHER_KEY_TEXT = (base64.b64encode(key).decode() for key in (KEY, OTHER_KEY))
PUBLIC_URL = "https://scheduler.example"


def ring_of(*keys: bytes) -> KeyRing:
    return KeyRing(keys, os.urandom)


RING = ring_of(KEY)


async def keep_secret(
    pool: Pool, name: str, value: str, *, ring: KeyRing = RING, namespace: str = "default"
) -> None:
    """Store a named secret as the API does."""
    sealed = ring.seal(value, place_of(namespace, NAMED, name))
    async with pool.acquire() as conn:
        await secrets.put_secret(conn, namespace, name, sealed, now=datetime.now(UTC))


async def keep_signing_secret(
    pool: Pool, *, kind: Kind = "hmac", host: str | None = None, ring: KeyRing = RING
) -> tuple[UUID, bytes]:
    """Store a secret that signs as the API does; return its id and itself."""
    value, secret_id = os.urandom(32), uuid4()
    made = SigningSecret(
        id=secret_id,
        name=None,
        type=kind,
        host=host,
        hint="",
        public_key=public_text(value) if kind == "ed25519" else None,
        created_at=datetime.now(UTC),
        expires_at=None,
    )
    sealed = ring.seal(value, place_of("default", SIGNING, str(secret_id)))
    async with pool.acquire() as conn:
        await signing_secrets.insert(conn, "default", made, sealed)
    return secret_id, value


def sealed_target(job_id: UUID, target: Target, *, ring: KeyRing = RING) -> Target:
    """Seal the secrets of a target as the API does."""
    place = place_of_target("default", job_id)
    return change_target(target, lambda where, value: ring.seal(value, place(where)))
