"""The chain of the audit log: what each entry's hash covers, and what a break of it means.

A hash is SHA-256 over the entry's number, the hash before it and all of its fields, each with its
length. A code (HMAC-SHA256, RFC 2104) over the hash is made with a key that is derived from the key
ring, so that who can write to the database alone can not make it. Pure: keys are arguments.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from scheduler_svc.domain.audit import Entry
from scheduler_svc.domain.ids import EPOCH

LABEL = b"scheduler-svc audit v1"
GENESIS = bytes(32)
"""What the first entry of all has in the place of the hash before it."""
MarkName = Literal["start", "head"]
Fault = Literal["changed", "missing", "inserted", "reordered", "unsealed"]


class SealKey(Struct, frozen=True):
    """A key of the codes, with the id of the key of the ring that it comes of."""

    id: str
    key: bytes

    def __repr__(self) -> str:
        """Show which key it is, and not the key."""
        return f"SealKey({self.id})"


class Link(Struct, frozen=True):
    """A place in the chain: a number, the hash there, and its code where there are keys."""

    seq: int
    hash: bytes
    key_id: str | None = None
    mac: bytes | None = None


FIRST = Link(0, GENESIS)


class Sealed(Struct, frozen=True):
    """An entry in its place."""

    link: Link
    prev_hash: bytes
    entry: Entry


class Broken(Struct, frozen=True):
    """The first place at which the log is not what was sealed."""

    fault: Fault
    seq: int
    detail: str


def seal_key(key_id: str, key: bytes) -> SealKey:
    """Derive the key of the codes from a key of the ring."""
    return SealKey(key_id, hmac.digest(key, LABEL, "sha256"))


def hash_of(entry: Entry, seq: int, prev_hash: bytes) -> bytes:
    """Return the hash of an entry in its place."""
    delta = entry.at - EPOCH
    micros = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    drawn = [LABEL, seq.to_bytes(8, "big"), prev_hash, entry.id.bytes]
    drawn.append(micros.to_bytes(8, "big", signed=True))
    for text in (
        entry.namespace,
        entry.actor_kind,
        entry.actor_id,
        entry.actor_name,
        entry.address,
        entry.request_id,
        entry.action,
        entry.resource_kind,
        entry.resource_id,
        entry.resource_name,
        None if entry.job_id is None else str(entry.job_id),
        entry.before,
        entry.after,
        entry.many,
    ):
        if text is None:
            drawn.append(b"\0")
        else:
            value = text.encode("utf-8", "surrogateescape")
            drawn += (b"\1", len(value).to_bytes(8, "big"), value)
    return sha256(b"".join(drawn)).digest()


def seal(entry: Entry, before: Link, seq: int, keys: Sequence[SealKey]) -> Sealed:
    """Put an entry into its place, behind another."""
    own = hash_of(entry, seq, before.hash)
    return Sealed(_link("entry", seq, own, keys), before.hash, entry)


def mark(name: MarkName, link: Link, keys: Sequence[SealKey]) -> Link:
    """Return the mark of where the log begins or ends, with a code of its own."""
    return _link(name, link.seq, link.hash, keys)


def is_genuine(purpose: str, link: Link, keys: Sequence[SealKey]) -> bool | None:
    """Tell whether a code is good; None where its key is not there, or there is no code at all.

    Without keys nothing can be told.
    """
    key = next((one for one in keys if one.id == link.key_id), None)
    if key is None or link.mac is None:
        return None
    return hmac.compare_digest(_code(purpose, link.seq, link.hash, key), link.mac)


def is_whole(one: Sealed, *, seq: int | None = None) -> bool:
    """Tell whether an entry is what its hash says, in its place or in another."""
    return hash_of(one.entry, one.link.seq if seq is None else seq, one.prev_hash) == one.link.hash


def _link(purpose: str, seq: int, own: bytes, keys: Sequence[SealKey]) -> Link:
    if not keys:
        return Link(seq, own)
    return Link(seq, own, keys[0].id, _code(purpose, seq, own, keys[0]))


def _code(purpose: str, seq: int, own: bytes, key: SealKey) -> bytes:
    text = purpose.encode() + b"\0" + seq.to_bytes(8, "big") + own
    return hmac.digest(key.key, text, "sha256")
