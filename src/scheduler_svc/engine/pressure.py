"""What this replica knows of keys: which may not simply be sent to, and how their calls go.

Limits and breakers are the database's; here is what was last read of them, so that a claim asks
nobody. The share of the slots is this replica's own affair, and so is counting failures: what
comes of them is written by `keys`.
"""

from collections import Counter, OrderedDict
from uuid import UUID

import msgspec

from scheduler_svc.domain.deferral import Reason
from scheduler_svc.domain.pressure import (
    BreakerRules,
    Ceiling,
    Key,
    KeyState,
    Tally,
)
from scheduler_svc.engine.hand import Hand, HeldRun

QUICK_MS = 1000
"""A call that ends within this time is quick, and for as long after it its key is known to be.
After that the key is trusted still, until a call of it is slow."""
KEYS_MAX = 10_000
"""Keys remembered; those not heard of for longest go first."""


class PressureRules(msgspec.Struct, frozen=True, kw_only=True):
    """The settings: limits that hold by default, the share of one key, and when breakers open."""

    default: Ceiling = Ceiling()
    share: float = 0.25
    """Of the slots that other keys leave free, the part that one key may have before its calls are
    known to come back quickly; then it may have all but this part."""
    namespace_share: float = 1.0
    """Of the slots that other namespaces leave free, the part that one namespace may have."""
    breaker: BreakerRules = BreakerRules()


class Opening(msgspec.Struct, frozen=True):
    """So many failures: the breaker is to open."""

    key: Key
    failures: int


class Probed(msgspec.Struct, frozen=True):
    """A probe came back; None is a call that says nothing of its target."""

    key: Key
    run_id: UUID
    good: bool | None


class Pressure:
    """One replica's memory of keys, bounded."""

    def __init__(self, rules: PressureRules) -> None:
        self.rules = rules
        self.known: dict[Key, KeyState] = {}
        self.news: dict[Key, Opening | Probed] = {}
        """What is to be written of breakers, in the next pass."""
        self.stale = True
        """Limits or breakers were changed by somebody: read them again."""
        self.waits = False
        """Some runs may wait because of their key: the third source is to be asked."""
        self.choked: Key | None = None
        """A quick key that has all it may have: its timers are claimed as its calls end."""
        self.untold: set[Key] = set()
        """Keys of which nobody knows whether they are quick, and whose timers were left until their
        first calls tell."""
        self.crowded: str | None = None
        """A namespace that has all it may have: its timers are claimed as its runs end."""
        self.after = Key("", "")
        """Up to where the third source came when there were too many keys for one look."""
        self.opened: set[Key] = set()
        """Breakers that this replica opened, whose waiting runs do not say so yet."""
        self.returning: list[HeldRun] = []
        """Held runs taken out of sending because of their key, until the database knows."""
        self.read_at = float("-inf")
        self._tallies: OrderedDict[Key, Tally] = OrderedDict()
        self._quick: OrderedDict[Key, int] = OrderedDict()

    def reason(self, key: Key) -> Reason | None:
        """Return why a run of this key is the third source's to claim, where it is."""
        state = self.known.get(key)
        if state is None:
            return self.rules.default.reason
        if state.breaker.state != "closed":
            return "breaker"
        return state.under(self.rules.default).reason

    def is_choked(self, *, now_ms: int) -> bool:
        """Tell whether timers were left for a key or a namespace that has all it may have, and are
        claimed as calls come back.
        """
        if self.choked is not None or self.crowded is not None:
            return True
        return any(self.is_quick(key, now_ms=now_ms) for key in self.untold)

    def relieve(self) -> None:
        """Know that a look at all timers left none: who had all it may have has caught up."""
        self.choked = self.crowded = None
        self.untold.clear()

    @property
    def open_breakers(self) -> int:
        """Return how many keys are spared, as far as this replica has read."""
        return sum(state.breaker.state != "closed" for state in self.known.values())

    def room(self, key: Key, *, held: int, free: int) -> int:
        """Return how many more runs of a key may be held beside those that are.

        Of what other keys leave free, so that several slow ones together leave something too.
        """
        share = self.rules.share
        if key in self._quick:
            share = max(share, 1.0 - share)
        return min(free, max(1, int((free + held) * share)) - held)

    def room_of_namespace(self, *, held: int, free: int) -> int:
        """Return how many more runs of a namespace may be held beside those that are."""
        return min(free, max(1, int((free + held) * self.rules.namespace_share)) - held)

    def is_quick(self, key: Key, *, now_ms: int) -> bool:
        """Tell whether calls of a key come back quickly at this time."""
        return self._quick.get(key, -QUICK_MS) + QUICK_MS > now_ms

    def learn(self, states: list[KeyState]) -> None:
        """Take what the database says of all keys that have limits or an open breaker."""
        self.known = {state.key: state for state in states}
        for state in states:
            if state.breaker.state != "closed":
                self._tallies.pop(state.key, None)

    def note(self, held: HeldRun, *, good: bool | None, started_ms: int, now_ms: int) -> bool:
        """Take the end of a call; tell whether something is to be written of its key's breaker.

        `good` tells whether it speaks for its target; None is neither for it nor against it.
        """
        key = held.job.key
        if now_ms - started_ms >= QUICK_MS:
            self._quick.pop(key, None)
        else:
            self._quick[key] = now_ms
            if len(self._quick) > KEYS_MAX:
                self._quick.popitem(last=False)
        if held.claim.probe:
            self.news[key] = Probed(key, held.claim.id, good)
            return True
        if good is None or (good and key not in self._tallies):
            return False
        state = self.known.get(key)
        if key in self.news or (state is not None and state.breaker.state != "closed"):
            return False
        return self._count(key, good=good, now_ms=now_ms)

    def unsent(self, held: HeldRun) -> bool:
        """Take a run that leaves the hand uncalled; tell whether something is to be written."""
        if held.claim.probe:
            self.news[held.job.key] = Probed(held.job.key, held.claim.id, None)
        return held.claim.probe

    def note_quick(self, key: Key, *, now_ms: int) -> None:
        """Know that a call of a key has come back quickly."""
        self._quick[key] = now_ms
        if len(self._quick) > KEYS_MAX:
            self._quick.popitem(last=False)

    def _count(self, key: Key, *, good: bool, now_ms: int) -> bool:
        tally = self._tallies.setdefault(key, Tally())
        self._tallies.move_to_end(key)
        tripped = tally.add(self.rules.breaker, good=good, now_ms=now_ms)
        if tripped:
            self.news[key] = Opening(key, max(tally.row, tally.failed))
        if tripped or tally.idle:
            del self._tallies[key]
        elif len(self._tallies) > KEYS_MAX:
            self._tallies.popitem(last=False)
        return tripped


class Turn:
    """One look's verdicts: what it takes itself counts before it is in the hand."""

    def __init__(self, pressure: Pressure, hand: Hand) -> None:
        self._pressure = pressure
        self._hand = hand
        self.shares = pressure.rules.namespace_share < 1.0
        """Where a namespace may have every slot, none is ever crowded."""
        self._key: Key | None = None
        self._room, self._admitted = 0, 0
        self._taken: Counter[Key] = Counter()
        self._taken_of: Counter[str] = Counter()
        self._total = 0

    def admit(self, key: Key) -> bool:
        """Count a run that goes into the hand, if nothing keeps it back.

        The same verdict as `reason` and `take`, reached once for a row of runs of one key: with
        each that it takes a key's share stays, and so the room in it falls by one.
        """
        if key is not self._key:
            self._count()
            self._key, self._room = key, self._room_of(key)
        if self._admitted >= self._room:
            return False
        self._admitted += 1
        return True

    def taken(self) -> Counter[Key]:
        """Return how many runs of each key go into the hand."""
        self._count()
        return self._taken

    def _room_of(self, key: Key) -> int:
        free = self._hand.free - self._total
        if free <= 0 or self._pressure.reason(key) is not None:
            return 0
        held = self._hand.of_key(key) + self._taken[key]
        room = self._pressure.room(key, held=held, free=free)
        if self.shares:
            held = self._hand.of_namespace(key.namespace) + self._taken_of[key.namespace]
            room = min(room, self._pressure.room_of_namespace(held=held, free=free))
        return room

    def _count(self) -> None:
        """Write down what was admitted of the key that had its turn."""
        key, count = self._key, self._admitted
        self._key, self._admitted = None, 0
        if key is not None and count:
            self._taken[key] += count
            self._taken_of[key.namespace] += count
            self._total += count

    def reason(self, key: Key) -> Reason | None:
        """Return why a run of a key may not be held now."""
        self._count()
        found = self._pressure.reason(key)
        if found is None and self.is_over_share(key):
            found = "host_share"
        if found is None and self.shares and self.is_crowded(key.namespace):
            found = "namespace_share"
        return found

    def is_crowded(self, namespace: str) -> bool:
        """Tell whether a namespace has its share of the slots."""
        self._count()
        free = self._hand.free - self._total
        held = self._hand.of_namespace(namespace) + self._taken_of[namespace]
        return free > 0 and self._pressure.room_of_namespace(held=held, free=free) <= 0

    def is_over_share(self, key: Key) -> bool:
        """Tell whether a key has its share; without a free slot it is not that which is missing."""
        self._count()
        free = self._hand.free - self._total
        held = self._hand.of_key(key) + self._taken[key]
        room = self._pressure.room(key, held=held, free=free)
        return free > 0 and room <= 0

    def take(self, key: Key) -> bool:
        """Count a run that goes into the hand; False where no slot is free."""
        self._count()
        if self._hand.free <= self._total:
            return False
        self._taken[key] += 1
        self._taken_of[key.namespace] += 1
        self._total += 1
        return True
