"""Making API keys: the text that opens, told once, and the row that only knows its digest."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from scheduler_svc.api.digest import digest_of
from scheduler_svc.api.gate import KEY_PREFIX
from scheduler_svc.domain.access import Scope
from scheduler_svc.domain.ids import RANDOM_BYTES, instant_at
from scheduler_svc.domain.ids import api_key_id as new_key_id
from scheduler_svc.store import api_keys
from scheduler_svc.store.api_keys import ApiKey
from scheduler_svc.store.pool import Connection

SECRET_BYTES = 32
PREFIX_BYTES = 4


class Asked(Struct, frozen=True, kw_only=True):
    """What a key is to be."""

    name: str
    namespace: str
    scopes: list[Scope]
    cidrs: list[str]
    created_by: str | None
    expires_at: datetime | None


async def make_key(
    conn: Connection, asked: Asked, *, now_ms: int, random_bytes: Callable[[int], bytes]
) -> tuple[ApiKey, str]:
    """Write a new key; return it with its text: a prefix to know it by, and 256 random bits."""
    prefix = f"{KEY_PREFIX}{random_bytes(PREFIX_BYTES).hex()}"
    rest = urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    text = f"{prefix}_{rest}"
    key = ApiKey(
        id=new_key_id(now_ms, random_bytes(RANDOM_BYTES)),
        name=asked.name,
        prefix=prefix,
        namespace=asked.namespace,
        scopes=sorted(set(asked.scopes)),
        cidrs=asked.cidrs,
        created_at=instant_at(now_ms),
        created_by=asked.created_by,
        expires_at=asked.expires_at,
    )
    await api_keys.insert_key(conn, key, digest_of(text))
    return key, text
