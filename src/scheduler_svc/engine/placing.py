"""Where a claimed occurrence goes: into the hand, among those that wait, or nowhere yet.

One look's verdicts, each counted as it is given. A key over its share of the slots is treated by
what is known of it, so that a dead host is out of the way at once and a burst of a quick one keeps
its speed: see `Placing.leaves`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import is_

import msgspec

from scheduler_svc.domain.decide import Decision, NewRun, Timer
from scheduler_svc.domain.deferral import COUNTED, Deferral
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import Key
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.pressure import Turn

TELLING_MS = 200
"""So long after their instant the first calls of a crowd have told how quick their key is."""
LEFT_MS_MAX = 3000
"""A quick key that has not caught up after so long is written down like any other, and what is due
behind it is in its way no more."""

CHOKED_BATCH = 50


def worth_locking(parts: Parts, room: int) -> int:
    """Lock no more timers than will be taken, where a quick key or namespace has all it may."""
    batch = min(parts.limits.batch, room)
    for left, _ in _lefts(parts):
        batch = min(batch, max(left, CHOKED_BATCH))
    return batch


def is_short(parts: Parts) -> bool:
    """Tell whether a quick key or namespace has so little room that a claim is better made later:
    less than half of a batch, and of all that it may have.
    """
    return any(left < min(parts.limits.batch, most) // 2 for left, most in _lefts(parts))


def _lefts(parts: Parts) -> Iterator[tuple[int, int]]:
    """Return what is left to those that had all they may have, and what they may have."""
    pressure, hand = parts.pressure, parts.hand
    if (key := pressure.choked) is not None:
        held = hand.of_key(key)
        left = pressure.room(key, held=held, free=hand.free)
        yield left, left + held
    if (crowded := pressure.crowded) is not None:
        held = hand.of_namespace(crowded)
        left = pressure.room_of_namespace(held=held, free=hand.free)
        yield left, left + held


class Placing:
    """The places of one look at the timers."""

    def __init__(self, parts: Parts, *, now_ms: int) -> None:
        self._parts = parts
        self._turn = Turn(parts.pressure, parts.hand)
        self.admits = self._turn.admit
        """Takes a run of a key into the hand where nothing keeps it back; else `leaves` and `place`
        say what becomes of it."""
        self.now_ms = now_ms
        self.left = 0
        """How many timers were left."""
        self.left_ms: int | None = None
        """When the earliest of them was to be sent."""
        self.choked = False
        """A key whose calls come back, or a namespace, has all that it may have: what follows waits
        for them."""
        self.crowds: set[str] = set()
        """The namespaces of the timers that were left."""

    def taken(self) -> Counter[Key]:
        """Return how many runs of each key go into the hand."""
        return self._turn.taken()

    def leaves(self, job: KnownJob, timer: Timer) -> bool:
        """Tell whether a timer is left where it is, for its key or namespace is over its share.

        If its calls come back quickly, they will soon have made room. If nobody knows yet and its
        instant has only just come, the first of them will tell. Else its run is written and waits.
        A namespace over its share goes on when it has a slot again, as all do where none is free.
        """
        left = timer.scheduled_ms is not None and self._is_left(job, timer)
        if left:
            self.left += 1
            self.left_ms = min(timer.fire_ms, self.left_ms or timer.fire_ms)
            self.crowds.add(job.key.namespace)
        return left

    def _is_left(self, job: KnownJob, timer: Timer) -> bool:
        if not self._turn.is_over_share(job.key):
            crowded = self._turn.shares and self._turn.is_crowded(job.key.namespace)
            if crowded:
                self._parts.pressure.crowded = job.key.namespace
                self.choked = True
            return crowded
        quick = self._parts.pressure.is_quick(job.key, now_ms=self.now_ms)
        self._parts.pressure.untold.discard(job.key)
        if quick and timer.fire_ms > self.now_ms - LEFT_MS_MAX:
            self._parts.pressure.choked = job.key
            self.choked = True
            return True
        if timer.fire_ms > self.now_ms - TELLING_MS:
            self._parts.pressure.untold.add(job.key)
            return True
        return False

    def place(self, job: KnownJob, decision: Decision) -> Decision:
        """Turn what may not be held now into waiting runs.

        What is more than the free slots is overflow, taken by whoever can. What its key holds back
        waits under the key, in nobody's way.
        """
        if "running" not in [run.status for run in decision.runs]:
            return decision
        placed = list(self._placed(job, decision.runs))
        if all(map(is_, placed, decision.runs)):
            return decision
        return msgspec.structs.replace(decision, runs=placed)

    def _placed(self, job: KnownJob, runs: list[NewRun]) -> Iterable[NewRun]:
        for run in runs:
            if run.status != "running":
                yield run
            elif (reason := self._turn.reason(job.key)) is not None:
                self._parts.pressure.waits = True
                note = Deferral(
                    reason=reason,
                    key=job.key.name,
                    # One that only stands in line for a grant has not been deferred yet.
                    count=int(reason in COUNTED),
                    since=instant_at(run.fire_ms),
                )
                yield msgspec.structs.replace(run, status="due", deferral=note)
            elif self._turn.take(job.key):
                yield run
            else:
                yield msgspec.structs.replace(run, status="due")
