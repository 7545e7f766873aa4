"""Certificates and keys in PEM: what is wrong with them, as sentences, before anything is sent.

Judges what can be judged without a connection: form, validity, that key and certificate belong
together, and strength that OpenSSL would refuse later. Trusts nobody and opens nothing.
"""

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

CERTIFICATES_MAX = 20
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
WEAK = (hashes.MD5, hashes.SHA1)
PRIVATE = "PRIVATE KEY-----"

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


def read_certificates(pem: str) -> list[x509.Certificate]:
    """Take a PEM text apart; ValueError says what it is instead."""
    if PRIVATE in pem:
        raise ValueError("holds a private key; give that in 'key' alone, where it is sealed")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError(
            "is no certificate in PEM form (-----BEGIN CERTIFICATE----- and so on)"
        ) from None
    if len(found) > CERTIFICATES_MAX:
        raise ValueError(f"holds {len(found)} certificates; at most {CERTIFICATES_MAX}")
    return found


def read_key(pem: str) -> PrivateKey:
    """Read a private key; ValueError says what is wrong with it, and never what it holds."""
    try:
        # The library would test primes for seconds; `fits` tries the key out instead.
        key = serialization.load_pem_private_key(
            pem.encode(), None, unsafe_skip_rsa_key_validation=True
        )
    except TypeError:
        raise ValueError("is encrypted; give the key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no private key in PEM form (PKCS #8, PKCS #1 or SEC 1)") from None
    match key:
        case rsa.RSAPrivateKey() if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            raise ValueError(
                f"has {key.key_size} bits; an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX}"
            )
        case ec.EllipticCurvePrivateKey() if key.curve.name not in CURVES:
            raise ValueError(f"is on the curve {key.curve.name}; use P-256, P-384 or P-521")
        case (
            rsa.RSAPrivateKey()
            | ec.EllipticCurvePrivateKey()
            | ed25519.Ed25519PrivateKey()
            | ed448.Ed448PrivateKey()
        ):
            return key
        case _:
            raise ValueError("is of a kind that TLS does not use; give an RSA, EC or Ed25519 key")


def validity_faults(certificates: list[x509.Certificate], now: datetime) -> Iterator[str]:
    """Name each certificate whose time is over."""
    for number, certificate in enumerate(certificates, 1):
        ends = certificate.not_valid_after_utc
        if ends < now:
            which = f"certificate {number} of it" if len(certificates) > 1 else "it"
            yield f"{which} expired on {ends:%Y-%m-%d}; give one that is valid"


def strength_fault(leaf: x509.Certificate) -> str | None:
    """Say why no handshake would take a certificate, as far as that is known before."""
    try:
        algorithm = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "is signed in a way that is not supported; give one signed with SHA-256"
    if isinstance(algorithm, WEAK):
        return f"is signed with {algorithm.name.upper()}; give one signed with SHA-256"
    return None


def fits(leaf: x509.Certificate, key: PrivateKey) -> bool:
    """Tell whether this key is the certificate's; an RSA key, which is not checked when it is
    read, is tried out.
    """
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        public = leaf.public_key()
        if public.public_bytes(*form) != key.public_key().public_bytes(*form):
            return False
        if isinstance(key, rsa.RSAPrivateKey) and isinstance(public, rsa.RSAPublicKey):
            signature = key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
            public.verify(signature, b"", padding.PKCS1v15(), hashes.SHA256())
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True
