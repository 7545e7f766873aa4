"""Signatures by Standard Webhooks 1.0: every secret that is active for the host signs.

The signed content is `id.timestamp.body`, byte for byte what is sent. Knows no store: secrets come
opened, and the instant until which each signs comes with it.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scheduler_svc.delivery.exchange import Unsendable

SECRET_BYTES = 32
SECRET_PREFIX, PUBLIC_PREFIX = "whsec_", "whpk_"


class Signer(msgspec.Struct, frozen=True):
    """A secret that signs for one host, or for all, until an instant, or for ever.

    The key of one that can not be opened here is the reason: no request goes unsigned for that.
    """

    host: str | None
    expires_ms: int | None
    key: bytes | Ed25519PrivateKey | str

    def __repr__(self) -> str:
        """Show whom it signs for, and not with what."""
        return f"Signer({self.host or 'every host'})"

    def is_for(self, host: str, now_ms: int) -> bool:
        """Tell whether it signs what goes to a host now."""
        return (self.host is None or self.host == host) and (
            self.expires_ms is None or now_ms < self.expires_ms
        )


def signatures(
    signers: Iterable[Signer], *, host: str, content: Sequence[bytes], now_ms: int
) -> bytes | None:
    """Return the value of `webhook-signature`, None where nobody signs for the host.

    `content` is the message's id, its timestamp and its body. Raise Unsendable.
    """
    signed = b".".join(content)
    made = [_signature(signer.key, signed) for signer in signers if signer.is_for(host, now_ms)]
    return b" ".join(made) if made else None


def hmac_text(secret: bytes) -> str:
    """Write a symmetric secret as its receiver takes it."""
    return SECRET_PREFIX + b64encode(secret).decode()


def public_text(secret: bytes) -> str:
    """Write the public half of an Ed25519 secret as its receiver takes it."""
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key()
    return PUBLIC_PREFIX + b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _signature(key: bytes | Ed25519PrivateKey | str, signed: bytes) -> bytes:
    if isinstance(key, str):
        raise Unsendable(key)
    if isinstance(key, bytes):
        return b"v1," + b64encode(hmac.digest(key, signed, "sha256"))
    return b"v1a," + b64encode(key.sign(signed))
