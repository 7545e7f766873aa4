"""Where the private keys of targets are sealed: two functions that the wiring may lend, or not.

Without them no key is taken, so that none is ever stored as it is. How a key is sealed is not known
here; what comes out of `seal` is what is stored, and only `unseal` makes a key of it again.
"""

from collections.abc import Callable

from msgspec import Struct

from scheduler_svc.domain.errors import Fault, Invalid

MASK = "***"
"""What is shown of a secret; sent back it keeps the value that is stored."""
POINTER = "/target/tls/key"
NO_RING = "can not be stored without a key ring; set SCHEDULER_SECRET_KEYS, or leave it out"


class KeyBox(Struct, frozen=True):
    """Seals and opens the text of a private key; `unseal` raises ValueError where it can not."""

    seal: Callable[[str], str]
    unseal: Callable[[str], str]


class KeyLocked(ValueError):
    """A stored key that can not be opened with the ring that there is."""


def seal_key(box: KeyBox | None, key: str) -> str:
    """Return the text to store; raise Invalid where there is no ring."""
    if box is None:
        raise Invalid([Fault(POINTER, NO_RING)])
    return box.seal(key)


def open_key(box: KeyBox | None, stored: str) -> str:
    """Return the key of a stored text; raise KeyLocked."""
    if box is None:
        raise KeyLocked
    try:
        return box.unseal(stored)
    except ValueError:
        raise KeyLocked from None
