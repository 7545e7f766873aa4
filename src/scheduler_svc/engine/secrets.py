"""Secrets as this replica knows them: read by need, opened, kept until a notice or their age.

A job that uses none of it costs a look into a dictionary. What can not be opened is known too, with
the reason, so that its runs are blocked and not the database asked again for each.
"""

from collections.abc import Callable, Collection

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scheduler_svc.delivery.exchange import Unsendable
from scheduler_svc.delivery.identity import Issuer, issuer_url
from scheduler_svc.delivery.signing import Signer
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.secrecy import IDENTITY, NAMED, SIGNING, place_of
from scheduler_svc.engine.remembered import Age, Remembered
from scheduler_svc.store import identity_keys, secrets, signing_secrets
from scheduler_svc.store.pool import Pool, connection, is_database_away
from scheduler_svc.store.signing_secrets import SealedSigner
from scheduler_svc.store.vault import KeyMissing, KeyRing, Unopenable, key_of

KEPT_MAX = 2000
READ_SECONDS = 5.0
AHEAD_MAX = 20
"""For how many namespaces one claim reads ahead who signs: the others' attempts read it."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where secrets come from and how long what was read counts."""

    pool: Pool
    ring: KeyRing | None
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    age_seconds: float = 60.0
    public_url: str | None = None


class KnownSecrets:
    """Named secrets, signers, and the issuer of identity tokens."""

    def __init__(self, source: Source) -> None:
        self.ring = source.ring
        self._source = source
        self._last_issuer: Issuer | None = None
        age = Age(source.monotonic, source.age_seconds)
        self._named = Remembered(self._read_named, age=age, size_max=KEPT_MAX)
        self._signers = Remembered(self._read_signers, age=age, size_max=KEPT_MAX)
        self._issuer = Remembered(self._read_issuer, age=age, size_max=1)

    def forget(self, namespace: str | None = None) -> None:
        """Read anew what belongs to a namespace, or everything: notices may have been missed."""
        self._signers.forget(lambda key: namespace in {None, key})
        self._named.forget(lambda key: namespace in {None, key[0]})
        self._issuer.forget(lambda _key: True)

    def signers_at_hand(self, namespace: str) -> tuple[Signer, ...] | None:
        """Return who signs for a namespace; None where that has to be read."""
        known = self._signers.at_hand(namespace)
        return None if known is None else known.value

    async def signers(self, namespace: str) -> tuple[Signer, ...]:
        """Return who signs for a namespace."""
        return await self._signers.get(namespace)

    async def have_signers(self, namespaces: Collection[str]) -> None:
        """Read who signs for these namespaces, as far as that is not at hand: of a few at a time.

        Nobody waits for it, so what can not be read is left to whoever does: the attempts of that
        namespace, and not the pass of all.
        """
        missing = [name for name in namespaces if self._signers.at_hand(name) is None]
        for name in missing[:AHEAD_MAX]:
            try:
                await self._signers.get(name)
            except Exception as error:  # noqa: BLE001 - the attempt finds the same, and says it
                if is_database_away(error):
                    return

    async def named(self, namespace: str, names: Collection[str]) -> dict[str, str]:
        """Return those of these secrets that are there; raise Unsendable."""
        found = {}
        for name in names:
            value = await self._named.get((namespace, name))
            if isinstance(value, Unopenable):
                raise Unsendable(f"{value}: the secret '{name}'")
            if value is not None:
                found[name] = value
        return found

    async def issuer(self) -> Issuer:
        """Return who makes identity tokens; raise Unsendable."""
        found = await self._issuer.get("")
        if isinstance(found, str):
            raise Unsendable(found)
        return found

    async def _read_named(self, key: tuple[str, str]) -> str | Unopenable | None:
        namespace, name = key
        async with connection(self._source.pool, seconds=READ_SECONDS) as conn:
            sealed = (await secrets.find_secrets(conn, namespace, [name])).get(name)
        if sealed is None:
            return None
        try:
            return self._open(sealed, place_of(namespace, NAMED, name)).decode()
        except Unopenable as fault:
            return fault

    async def _read_signers(self, namespace: str) -> tuple[Signer, ...]:
        now = instant_at(self._source.now_ms())
        async with connection(self._source.pool, seconds=READ_SECONDS) as conn:
            stored = await signing_secrets.signing_secrets_of(conn, namespace, now=now)
        return tuple(self._signer(namespace, one) for one in stored)

    async def _read_issuer(self, _key: str) -> Issuer | str:
        url = self._source.public_url
        if url is None:
            return "identity tokens need SCHEDULER_PUBLIC_URL, which is not set"
        async with connection(self._source.pool, seconds=READ_SECONDS) as conn:
            key = await identity_keys.signing_key(conn)
        if key is None:
            return "there is no key for identity tokens"
        if self._last_issuer is not None and self._last_issuer.key_id == key.id:
            return self._last_issuer  # with the tokens that it made
        try:
            private = self._open(key.sealed, place_of("", IDENTITY, key.id))
        except Unopenable as fault:
            return f"{fault}: the key of identity tokens"
        self._last_issuer = Issuer(issuer_url(url), key.id, private)
        return self._last_issuer

    def _signer(self, namespace: str, stored: SealedSigner) -> Signer:
        ends_ms = None if stored.expires_at is None else epoch_ms(stored.expires_at)
        key: bytes | Ed25519PrivateKey | str
        try:
            key = self._open(stored.sealed, place_of(namespace, SIGNING, str(stored.id)))
        except Unopenable as fault:
            key = f"{fault}: the signing secret {stored.id}"
        else:
            if stored.type == "ed25519":
                key = Ed25519PrivateKey.from_private_bytes(key)
        return Signer(stored.host, ends_ms, key)

    def _open(self, sealed: str, place: str) -> bytes:
        if self.ring is None:
            raise KeyMissing(key_of(sealed))
        return self.ring.open(sealed, place)
