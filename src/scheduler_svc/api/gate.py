"""The gate: from the credentials of a request to its caller, or a refusal that tells nothing.

Promises that only digests are looked up and compared, that a key which was revoked or has expired
opens nothing a second later on any replica, and one answer for all that is not accepted.
A key is looked up once a second; a notice of its revocation is heard before that.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from msgspec import Struct
from starlette.datastructures import Headers

from scheduler_svc.api.digest import digest_of
from scheduler_svc.api.sessions import Sessions
from scheduler_svc.api.tokens import TOKEN_MAX, Tokens
from scheduler_svc.domain.access import ANYONE, SCOPES, Caller, is_from
from scheduler_svc.domain.errors import Unauthenticated
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import api_keys
from scheduler_svc.store.api_keys import TOUCH_MS, ApiKey
from scheduler_svc.store.pool import Pool, connection

AGE_SECONDS = 0.9
KNOWN_MAX = 10_000
KEY_PREFIX = "sk_"
BOOTSTRAP = Caller(id="bootstrap", name="bootstrap", scopes=frozenset(SCOPES))
_REFUSAL = "The key is unknown, was revoked, has expired, or is not good from this address."


class _Known(Struct, frozen=True):
    """A key as it was found, and until when it counts, on the monotonic clock."""

    key: ApiKey
    caller: Caller
    until: float


class Gate:
    """Knows the keys used last; asks the database for the others."""

    def __init__(
        self,
        pool: Pool,
        now_ms: Callable[[], int],
        *,
        required: bool,
        bootstrap_key: str | None = None,
        tokens: Tokens | None = None,
        sessions: Sessions | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._now_ms = now_ms
        self._required = required
        self._bootstrap = None if bootstrap_key is None else digest_of(bootstrap_key)
        self._tokens = tokens
        self.sessions = sessions
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._accepted: OrderedDict[bytes, None] = OrderedDict()

    async def caller(
        self, headers: Headers, peer: str | None, session: str | None = None
    ) -> Caller:
        """Return who makes a request: by its header, else by its session.

        Raises Unauthenticated.
        """
        given = headers.getlist("authorization")
        if given:
            token = _token(given)
            digest = digest_of(token)
            return self._noted(digest, await self._judged(token, digest, peer))
        if session is not None and self.sessions is not None:
            try:
                caller = await self._of_session(self.sessions, session, peer)
                return self._noted(digest_of(session), caller)
            except Unauthenticated:
                if self._required:
                    raise
        if self._required:
            raise Unauthenticated("Send credentials: `Authorization: Bearer sk_...`.")
        return ANYONE

    async def admit_key(self, key: str, peer: str | None) -> Caller:
        """Return whom a key stands for that somebody logs in with; raise Unauthenticated."""
        return self._noted(digest_of(key), await self._of_key(digest_of(key), peer))

    def _noted(self, digest: bytes, caller: Caller) -> Caller:
        """Remember that these credentials were accepted."""
        self._accepted[digest] = None
        if len(self._accepted) > KNOWN_MAX:
            self._accepted.popitem(last=False)
        return caller

    async def _judged(self, token: str, digest: bytes, peer: str | None) -> Caller:
        if self._tokens is not None and not token.startswith(KEY_PREFIX):
            if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
                return BOOTSTRAP
            return await self._tokens.caller(token)
        return await self._of_key(digest, peer)

    async def _of_session(self, sessions: Sessions, token: str, peer: str | None) -> Caller:
        """Return the caller that the session's key stands for now, from this address."""
        live = await sessions.find(token)
        try:
            return await self._of_key(live.credential, peer)
        except Unauthenticated:
            raise Unauthenticated("The session's key is good no more: log in again.") from None

    async def _of_key(self, digest: bytes, peer: str | None) -> Caller:
        if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
            return BOOTSTRAP
        known = self._known.get(digest)
        if known is None or known.until < self._clock():
            known = await self._look_up(digest)
        if not self._is_good(known.key, peer):
            raise Unauthenticated(_REFUSAL, given=True)
        return known.caller

    def remembers(self, headers: Headers, session: str | None = None) -> bool:
        """Tell whether these credentials were accepted here before, or are none at all."""
        given = headers.get("authorization")
        if given is None:
            return session is None or digest_of(session) in self._accepted
        return digest_of(given.partition(" ")[2].strip(" ")) in self._accepted

    def forget(self, key_id: str) -> None:
        """Ask the database again before a key opens anything; without an id, for every key."""
        for digest, known in list(self._known.items()):
            if not key_id or str(known.key.id) == key_id:
                del self._known[digest]

    async def _look_up(self, digest: bytes) -> _Known:
        self._known.pop(digest, None)
        asked_at = self._clock()
        async with connection(self._pool) as conn:
            found = await api_keys.find_key(conn, digest)
            if found is None or not hmac.compare_digest(found[1], digest):
                raise Unauthenticated(_REFUSAL, given=True)
            key, now_ms = found[0], self._now_ms()
            if key.last_used_at is None or epoch_ms(key.last_used_at) < now_ms - TOUCH_MS:
                await api_keys.touch_key(conn, key.id, now_ms=now_ms)
        known = _Known(key, caller_of(key), asked_at + AGE_SECONDS)
        self._known[digest] = known
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return known

    def _is_good(self, key: ApiKey, peer: str | None) -> bool:
        expired = key.expires_at is not None and epoch_ms(key.expires_at) <= self._now_ms()
        return not expired and is_from(peer, tuple(key.cidrs))


def caller_of(key: ApiKey) -> Caller:
    """Return whom a key stands for."""
    return Caller(
        id=f"key:{key.id}",
        name=key.name,
        namespace=key.namespace,
        scopes=frozenset(key.scopes),
    )


def _token(given: list[str]) -> str:
    """Take the token out of the header; raise Unauthenticated where it holds none."""
    scheme, _, token = given[0].partition(" ")
    token = token.strip(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token or len(token) > TOKEN_MAX:
        raise Unauthenticated(
            "The Authorization header must be `Bearer` and one key or token.", given=True
        )
    return token
