"""What was read from the database a while ago and still counts: one small cache for one kind.

Promises that one reader at a time asks, that nothing read before a change is kept after its notice,
and that while the database is away what was known goes on to count, at once or nearly so. Bounded
in number and in age.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from scheduler_svc.store.pool import is_database_away

PATIENCE_SECONDS = 0.25
"""How long a read may take where something is known already: attempts are waiting for it."""
RETRY_SECONDS = 1.0
"""How long nobody asks again after the database did not answer."""
K = TypeVar("K")
V = TypeVar("V")


class Age(msgspec.Struct, frozen=True):
    """For how many seconds a value counts, by which clock."""

    monotonic: Callable[[], float]
    seconds: float


class Known(msgspec.Struct, Generic[V], frozen=True):
    """A value, and until when it counts by the monotonic clock."""

    value: V
    until: float


class Remembered(Generic[K, V]):
    """Values by key, each read when it is asked for and not known, or known for too long."""

    def __init__(
        self,
        read: Callable[[K], Awaitable[V]],
        *,
        age: Age,
        size_max: int,
    ) -> None:
        self._read = read
        self._age = age
        self._size_max = size_max
        self._known: OrderedDict[K, Known[V]] = OrderedDict()
        self._reading = asyncio.Lock()
        self._changes = 0
        self._failed: tuple[float, Exception] | None = None

    def at_hand(self, key: K) -> Known[V] | None:
        """Return what is known and counts; None where it has to be read."""
        known = self._known.get(key)
        return known if known is not None and self._age.monotonic() < known.until else None

    async def get(self, key: K) -> V:
        """Return a value; raise what `is_database_away` knows where none was ever read."""
        known = self.at_hand(key)
        if known is not None:
            return known.value
        async with self._reading:
            known = self.at_hand(key)
            return (await self._read_now(key)) if known is None else known.value

    def forget(self, of: Callable[[K], bool]) -> None:
        """Let what belongs to these keys be read anew."""
        self._changes += 1
        for key in [key for key in self._known if of(key)]:
            self._known[key] = Known(self._known[key].value, float("-inf"))

    async def _read_now(self, key: K) -> V:
        if self._failed is not None and self._age.monotonic() < self._failed[0]:
            return self._as_it_was(key, self._failed[1])
        changes = self._changes
        try:
            async with asyncio.timeout(PATIENCE_SECONDS if key in self._known else None):
                value = await self._read(key)
        except Exception as error:
            if not is_database_away(error):
                raise
            self._failed = (self._age.monotonic() + RETRY_SECONDS, error)
            return self._as_it_was(key, error)
        # What was read while a notice came may be from before the change.
        until = (
            self._age.monotonic() + self._age.seconds if changes == self._changes else float("-inf")
        )
        self._known[key] = Known(value, until)
        self._known.move_to_end(key)
        if len(self._known) > self._size_max:
            self._known.popitem(last=False)
        return value

    def _as_it_was(self, key: K, error: Exception) -> V:
        """Return what was known before; raise the error where nothing was."""
        if key not in self._known:
            raise error
        return self._known[key].value
