"""Sessions: a cookie stands for the key that it was begun with, until either ends.

Promises that only digests are stored, that each login has a token of its own, and that a session
which was ended, lies idle or is too old opens nothing a second later on any replica. What it may do
is its key's to say, at each request; this knows nothing of keys.
"""

from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from msgspec import Struct

from scheduler_svc.api.digest import digest_of
from scheduler_svc.domain.errors import Unauthenticated
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import sessions
from scheduler_svc.store.pool import Pool, connection
from scheduler_svc.store.sessions import Session

AGE_SECONDS = 0.9
KNOWN_MAX = 10_000
TOKEN_BYTES = 32
TOUCHES = 10
"""How often within its idle time the use of a session is noted."""


class Live(Struct, frozen=True):
    """A session that counts: the digest of its key, and when it ends unless it is used."""

    credential: bytes
    ends_ms: int


class Sessions:
    """Knows the sessions used last; asks the database for the others."""

    def __init__(
        self,
        pool: Pool,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        *,
        idle_seconds: float,
        most_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._pool, self._now_ms, self._random_bytes = pool, now_ms, random_bytes
        self._idle_ms = int(idle_seconds * 1000)
        self.most_seconds = int(most_seconds)
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Session, float]] = OrderedDict()

    async def begin_with(self, key: str) -> str:
        """Begin a session for a key that was judged; return its token, which is told once."""
        token = urlsafe_b64encode(self._random_bytes(TOKEN_BYTES)).rstrip(b"=").decode()
        now_ms = self._now_ms()
        expires_ms = now_ms + self.most_seconds * 1000
        async with connection(self._pool) as conn:
            await sessions.insert_session(
                conn, digest_of(token), digest_of(key), now_ms=now_ms, expires_ms=expires_ms
            )
        return token

    async def find(self, token: str) -> Live:
        """Return the session of a token; raise Unauthenticated, `given` where there never was."""
        digest = digest_of(token)
        found, until = self._known.get(digest, (None, 0.0))
        if found is None or until < self._clock():
            found = await self._look_up(digest)
        ends_ms = min(epoch_ms(found.used_at) + self._idle_ms, epoch_ms(found.expires_at))
        if ends_ms <= self._now_ms():
            raise Unauthenticated("The session is over: log in again.")
        return Live(found.credential, ends_ms)

    async def end(self, token: str) -> None:
        """End a session, here at once and elsewhere within a second."""
        digest = digest_of(token)
        self._known.pop(digest, None)
        async with connection(self._pool) as conn:
            await sessions.delete_session(conn, digest)

    async def _look_up(self, digest: bytes) -> Session:
        self._known.pop(digest, None)
        asked_at, now_ms = self._clock(), self._now_ms()
        touch_ms = self._idle_ms // TOUCHES
        async with connection(self._pool) as conn:
            found = await sessions.find_session(conn, digest)
            if found is None:
                raise Unauthenticated("There is no such session: log in again.", given=True)
            used_ms = epoch_ms(found.used_at)
            if used_ms + touch_ms < now_ms < used_ms + self._idle_ms:
                await sessions.touch_session(conn, digest, now_ms=now_ms, touch_ms=touch_ms)
        self._known[digest] = found, asked_at + AGE_SECONDS
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return found
