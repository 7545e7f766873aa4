"""What is known of a key or a token: it is random, so that one round of SHA-256 is enough."""

from hashlib import sha256


def digest_of(token: str) -> bytes:
    """Return the digest under which a credential is stored and looked up."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
