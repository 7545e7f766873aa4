"""What this replica holds: runs claimed and waiting for their instant, and runs being sent.

Bounded by the slots: the claim asks only for what is free here. A run leaves the hand only when
its end is settled or given back, so finished outcomes wait in bounded memory while the database is
away.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from scheduler_svc.domain.pressure import Key
from scheduler_svc.domain.runs import BACKGROUND
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.settlements import Held

K = TypeVar("K")
BACKGROUND_SHARE = 2
"""At most one slot in two is given to runs of the past."""


class UnderWay(Protocol):
    """An attempt that has begun."""

    def cancel(self) -> object:
        """Cut it off; it ends now or a moment later."""

    def done(self) -> bool:
        """Tell whether it has ended."""


class HeldRun(msgspec.Struct, eq=False):
    """One run in this replica's hand; `sending` from the moment it may have left."""

    claim: ClaimedRun
    job: KnownJob
    sending: bool = False
    cancelled: bool = False
    uncounted: bool = False
    """It is over, and its end is being settled: its slot is another's already."""
    term: int = 0
    """Of the lease, when the attempt began: a later one gives no right to go on with it."""
    task: UnderWay | None = None

    @property
    def first(self) -> bool:
        """Tell whether nothing of this run was ever sent."""
        return self.claim.attempt == 1

    @property
    def key(self) -> Held:
        """Return the run's identity and fencing token."""
        return Held(self.claim.id, self.claim.scheduled_ms, self.claim.attempt)


class Hand:
    """Runs by id, and a heap of those whose instant is still to come."""

    def __init__(self, slots: int, *, traced: bool = False) -> None:
        self.slots = slots
        self._background = 0
        self._uncounted = 0
        self.taken = 0
        """How many runs were ever claimed: what a pass added to it is the size of its claim."""
        self.claimed: list[UUID] | None = [] if traced else None
        """The runs that the pass under way has claimed, where somebody traces passes."""
        self._runs: dict[UUID, HeldRun] = {}
        self._of_key: Counter[Key] = Counter()
        self._of_namespace: Counter[str] = Counter()
        self._coming = 0
        """How many runs claims under way will add."""
        self._instants: list[int] = []
        """A heap of the instants at which something is to be sent."""
        self._due: dict[int, list[tuple[int, int, HeldRun]]] = {}
        """What that is: by priority and the order of claiming, which no two entries share."""

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[HeldRun]:
        return iter(list(self._runs.values()))

    def __contains__(self, run_id: UUID) -> bool:
        return run_id in self._runs

    @property
    def free(self) -> int:
        """Return how many more runs may be claimed."""
        return max(0, self.slots + self._uncounted - len(self._runs) - self._coming)

    @property
    def background_free(self) -> int:
        """Return how many more runs of the past may be claimed: on-time work keeps its share."""
        share = max(1, self.slots // BACKGROUND_SHARE)
        return max(0, min(self.free, share - self._background))

    @property
    def next_fire_ms(self) -> int | None:
        """Return the earliest instant at which something is to be sent."""
        while self._instants:
            fire_ms = self._instants[0]
            due = self._due[fire_ms]
            while due:
                if self._is_unsent(due[-1][2]):
                    return fire_ms
                due.pop()
            del self._due[heapq.heappop(self._instants)]
        return None

    def is_due(self, now_ms: int) -> bool:
        """Tell whether something is to be sent by now."""
        next_ms = self.next_fire_ms
        return next_ms is not None and next_ms <= now_ms

    def add(self, claim: ClaimedRun, job: KnownJob) -> None:
        """Hold a claimed run until its instant; of one instant the higher priority goes first."""
        self.add_all(((claim, job),))

    def add_all(self, claimed: Iterable[tuple[ClaimedRun, KnownJob]]) -> None:
        """Hold several."""
        runs, added = self._runs, []
        for claim, job in claimed:
            if (before := runs.get(claim.id)) is not None:
                self._uncounted -= before.uncounted
                self._count([] if before.uncounted else [before], -1)
            runs[claim.id] = held = HeldRun(claim, job)
            added.append(held)
            self.taken += 1
            place = (-job.plan.definition.priority, self.taken, held)
            due = self._due.get(claim.fire_ms)
            if due is None:
                self._due[claim.fire_ms] = [place]
                heapq.heappush(self._instants, claim.fire_ms)
            else:
                due.append(place)
        self._count(added, 1)
        if self.claimed is not None:
            self.claimed += [held.claim.id for held in added]

    def pop_due(self, now_ms: int) -> list[HeldRun]:
        """Take what is to be sent now, marked as being sent; of several namespaces in turn."""
        due, runs = [], self._runs
        while self._instants and self._instants[0] <= now_ms:
            at_once = self._due.pop(heapq.heappop(self._instants))
            at_once.sort()
            for _, _, held in at_once:
                if not held.sending and runs.get(held.claim.id) is held:
                    held.sending = True
                    due.append(held)
        return due if len(self._of_namespace) < 2 else _in_turn(due)  # noqa: PLR2004

    def _is_unsent(self, held: HeldRun) -> bool:
        # A run that was given back and claimed anew has an entry of its own.
        return not held.sending and self._runs.get(held.claim.id) is held

    def get(self, run_id: UUID) -> HeldRun | None:
        """Return a held run."""
        return self._runs.get(run_id)

    def ids(self) -> set[UUID]:
        """Return the ids of all that is held."""
        return set(self._runs)

    def drop(self, held: HeldRun) -> None:
        """Let go of a run whose end is known to the database.

        Between the commit of that end and its answer another pass may have claimed the same run
        anew: that one stays.
        """
        self.drop_all((held,))

    def drop_all(self, ended: Iterable[HeldRun]) -> None:
        """Let go of several."""
        runs = self._runs
        gone = [held for held in ended if runs.get(held.claim.id) is held]
        for held in gone:
            del runs[held.claim.id]
        counted = [held for held in gone if not held.uncounted]
        self._uncounted -= len(gone) - len(counted)
        self._count(counted, -1)

    @contextmanager
    def settling(self, ended: Iterable[HeldRun]) -> Iterator[None]:
        """Give the slots of runs to others while their ends are settled, for good if they are."""
        runs = self._runs
        over = [held for held in ended if runs.get(held.claim.id) is held]
        for held in over:
            held.uncounted = True
        self._uncounted += len(over)
        self._count(over, -1)
        try:
            yield
        finally:
            left = [held for held in over if runs.get(held.claim.id) is held]
            for held in left:
                held.uncounted = False
            self._uncounted -= len(left)
            self._count(left, 1)

    def unsent(self, job_id: UUID | None = None) -> list[HeldRun]:
        """Return what waits for its instant, of one job or of all."""
        return [
            held
            for held in self._runs.values()
            if not held.sending and (job_id is None or held.claim.job_id == job_id)
        ]

    def withdraw(self, runs: list[HeldRun]) -> None:
        """Take unsent runs out of sending for good; they stay counted until given back."""
        for held in runs:
            held.sending = True

    def sending(self) -> list[HeldRun]:
        """Return the runs that have left, or are about to."""
        return [held for held in self._runs.values() if held.task is not None]

    def of_key(self, key: Key) -> int:
        """Return how many runs of a key are held, or about to be."""
        return self._of_key[key]

    def of_namespace(self, name: str) -> int:
        """Return how many runs of a namespace are held, or about to be."""
        return self._of_namespace[name]

    @contextmanager
    def expecting(self) -> Iterator[Callable[[Mapping[Key, int]], None]]:
        """Count what a claim will add while it is written: the next one is decided meanwhile, and
        shall find the same slots taken. The last that it says of itself counts.
        """
        expected: Mapping[Key, int] = {}

        def expect(runs: Mapping[Key, int]) -> None:
            nonlocal expected
            self._expect(expected, -1)
            expected = runs
            self._expect(expected, 1)

        try:
            yield expect
        finally:
            expect({})

    def _expect(self, runs: Mapping[Key, int], step: int) -> None:
        for key, count in runs.items():
            self._coming += step * count
            _change(self._of_key, key, step * count)
            _change(self._of_namespace, key.namespace, step * count)

    def _count(self, runs: list[HeldRun], step: int) -> None:
        """Count runs that come, or with -1 those that go: many of them are of one key."""
        past = [held for held in runs if held.claim.trigger in BACKGROUND or held.claim.background]
        self._background += step * len(past)
        for key, count in Counter([held.job.key for held in runs]).items():
            _change(self._of_key, key, step * count)
            _change(self._of_namespace, key.namespace, step * count)


def _change(counts: Counter[K], name: K, by: int) -> None:
    counts[name] += by
    if not counts[name]:
        del counts[name]


def _in_turn(due: list[HeldRun]) -> list[HeldRun]:
    """Order what goes out in one go: the first of each namespace, then the second of each."""
    turns: Counter[str] = Counter()
    keyed = []
    for held in due:
        turns[held.job.key.namespace] += 1
        keyed.append((turns[held.job.key.namespace], held))
    return [held for _, held in sorted(keyed, key=lambda one: one[0])]
