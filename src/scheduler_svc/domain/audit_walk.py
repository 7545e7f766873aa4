"""Walking the chain: each entry held against the one before it, and what a break of it means.

Promises to say of the first entry that is not in order which it is and what is wrong with it. What
takes a look elsewhere in the log is handed in. Pure.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from scheduler_svc.domain.audit_chain import (
    FIRST,
    Broken,
    Link,
    Sealed,
    SealKey,
    is_genuine,
    is_whole,
)


class Nearby(NamedTuple):
    """What there is in the log beside an entry that is out of order."""

    following: Sealed | None
    """The entry after it."""
    copies: int
    """Entries with its hash, itself among them."""
    origin: Sealed | None
    """The entry that it says it follows."""


class Walk(Struct, kw_only=True):
    """How far the walk is; without keys codes are not judged."""

    keys: Sequence[SealKey] = ()
    lenient: bool = False
    """Take codes as they are whose key is not there: the hashes alone are judged."""
    expected: tuple[int, bytes] | None = None
    """A number and a hash that were noted elsewhere."""
    at: Link = FIRST
    before: Sealed | None = None
    keyed: bool = False
    """An entry with a code was seen: from there on all have one."""
    entries: int = 0
    unjudged: int = 0
    """Codes that could not be judged, for want of their key."""

    def step(self, one: Sealed) -> Broken | None:
        """Go on to the next entry; return what is wrong where it can be said by itself."""
        if one.link.seq != self.at.seq + 1:
            first, last = self.at.seq + 1, one.link.seq - 1
            which = f"{first}" if first == last else f"{first} to {last}"
            return Broken("missing", first, f"{which} of the log are not there")
        if not self.fits(one):
            return Broken("changed", one.link.seq, "it does not fit")
        if (fault := self.code_fault("entry", one.link)) is not None:
            return Broken("changed", one.link.seq, fault)
        noted = one.link.hash
        if self.expected is not None and self.expected[0] == one.link.seq:
            noted = self.expected[1]
        if noted != one.link.hash:
            return Broken("changed", one.link.seq, "its hash is not the one that was noted")
        self.at, self.before = one.link, one
        self.entries += 1
        return None

    def fits(self, one: Sealed) -> bool:
        """Tell whether an entry is what its hash says, and follows the one before."""
        return is_whole(one) and one.prev_hash == self.at.hash

    def code_fault(self, purpose: str, link: Link) -> str | None:
        """Say what is wrong with a code; None where nothing is, or nothing can be told."""
        if link.mac is None:
            lost = self.keyed and bool(self.keys)
            return "it has no code, and entries before it have" if lost else None
        self.keyed = True
        genuine = is_genuine(purpose, link, self.keys)
        if genuine is False:
            return f"its code was not made with the key {link.key_id}"
        if genuine is None:
            self.unjudged += purpose == "entry"
            if self.keys and not self.lenient:
                return f"its code needs the key {link.key_id}, which is not in the key ring"
        return None

    def verdict(self, one: Sealed, near: Nearby) -> Broken:
        """Say what became of an entry that does not fit, from what stands around it."""
        seq, before = one.link.seq, self.before
        home = _home(one, near.origin)
        if (inserted := self._inserted(one, near, home)) is not None:
            return inserted
        if home is not None and home != seq and near.origin is None:
            return Broken("missing", seq, f"the entry at its place was sealed as {home}")
        if home is not None and home != seq:
            return Broken("reordered", seq, f"it was sealed as {home}")
        if not is_whole(one):
            return Broken("changed", seq, "its fields are not those that were sealed")
        if before is not None:
            return Broken("changed", before.link.seq, "the entry after it followed another one")
        return Broken("missing", seq, "it followed an entry before the beginning of the log")

    def _inserted(self, one: Sealed, near: Nearby, home: int | None) -> Broken | None:
        """Tell whether this entry, or the one before it, was put between others."""
        seq, before = one.link.seq, self.before
        if near.copies > 1:
            return Broken("inserted", seq, "it is a copy of another entry")
        closed = near.following is not None and _follows(near.following, self.at, as_seq=seq)
        if closed and home is None:
            return Broken("inserted", seq, "the entry after it follows the one before it")
        if before is not None and one.prev_hash == before.prev_hash and _was_at(one, seq - 1):
            place = "it stands between two entries that follow each other"
            return Broken("inserted", before.link.seq, place)
        return None


def _follows(one: Sealed, at: Link, *, as_seq: int) -> bool:
    return one.prev_hash == at.hash and _was_at(one, as_seq)


def _was_at(one: Sealed, seq: int) -> bool:
    """Tell whether an entry was sealed with a number."""
    return seq > 0 and is_whole(one, seq=seq)


def _home(one: Sealed, origin: Sealed | None) -> int | None:
    """Return the number with which an entry was sealed, where it can be found."""
    places = [one.link.seq, one.link.seq - 1, one.link.seq + 1]
    if origin is not None:
        places += [origin.link.seq + 1, origin.link.seq, origin.link.seq - 1]
    return next((seq for seq in places if _was_at(one, seq)), None)
