"""Doing the work of a delivery once, though it may come more than once.

`once` asks a store what is known of an id; `Remembered` is one in memory, good for one process.
Work that writes to a database is better kept together with its own mark, in one transaction:
docs/receivers.md shows how.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal, Protocol

State = Literal["new", "busy", "done"]
DAY_SECONDS = 86_400.0


class Deliveries(Protocol):
    """What is known of deliveries by id (`webhook-id`, or `Idempotency-Key`)."""

    def begin(self, delivery_id: str) -> State:
        """Tell what is known; where that is `new`, it is `busy` from now on."""

    def done(self, delivery_id: str) -> None:
        """Note that the work was done."""

    def forget(self, delivery_id: str) -> None:
        """Note that the work failed: the next one is new again."""


@contextmanager
def once(seen: Deliveries, delivery_id: str) -> Iterator[State]:
    """Yield whether to do the work. It is done when the block ends, and forgotten if it raises.

    `new`: do it. `done`: answer as you did. `busy`: another request is at it: answer 503 with
    Retry-After, so that the scheduler asks again.
    """
    state = seen.begin(delivery_id)
    if state != "new":
        yield state
        return
    try:
        yield state
    except BaseException:
        seen.forget(delivery_id)
        raise
    seen.done(delivery_id)


class Remembered:
    """A store in this process's memory, for so long and so many; the oldest are forgotten first.

    For threads and for asyncio alike: it never waits. `seconds` should be longer than the retries
    of a run may take.
    """

    def __init__(
        self,
        seconds: float = DAY_SECONDS,
        count_max: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._count_max = count_max
        self._clock = clock
        self._known: OrderedDict[str, tuple[State, float]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._known)

    def begin(self, delivery_id: str) -> State:
        """Tell what is known; where that is `new`, it is `busy` from now on."""
        with self._lock:
            self._drop_old()
            if (known := self._known.get(delivery_id)) is not None:
                return known[0]
            self._note(delivery_id, "busy")
            return "new"

    def done(self, delivery_id: str) -> None:
        """Note that the work was done."""
        with self._lock:
            self._note(delivery_id, "done")

    def forget(self, delivery_id: str) -> None:
        """Note that the work failed: the next one is new again."""
        with self._lock:
            self._known.pop(delivery_id, None)

    def _note(self, delivery_id: str, state: State) -> None:
        self._known[delivery_id] = (state, self._clock() + self._seconds)
        self._known.move_to_end(delivery_id)
        while len(self._known) > self._count_max:
            self._known.popitem(last=False)

    def _drop_old(self) -> None:
        now = self._clock()
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest][1] > now:
                return
            del self._known[oldest]
