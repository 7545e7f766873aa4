"""Budgets of callers: a token bucket as one replica sees it, and the names of its fields.

Pure: seconds are arguments. A replica lets requests pass by what it believes is left, and learns
now and then what all have spent; between two such moments it may be wrong by a tenth of the burst.
"""

from functools import cached_property
from typing import Final, Literal

from msgspec import Struct

Budget = Literal["reads", "writes", "bulk", "logins"]
SHARE: Final = 0.1
"""What a replica may spend of a burst before it tells the others."""
WINDOW_SECONDS: Final = 60


LOGINS_AT_ONCE: Final = 10.0
"""Credentials that may fail at once: an address has many callers, and some mistype."""


class Policy(Struct, frozen=True, dict=True):
    """So many requests a minute; a second's worth of them may come at once, and one always."""

    name: Budget
    per_minute: int

    @cached_property
    def per_second(self) -> float:
        return self.per_minute / WINDOW_SECONDS

    @cached_property
    def burst(self) -> float:
        if self.name == "logins":
            return max(self.per_second, min(LOGINS_AT_ONCE, self.per_minute))
        return max(1.0, self.per_second)


class Bucket(Struct):
    """What one caller has left of one budget, as far as this replica knows."""

    tokens: float
    at: float
    """When `tokens` was right, on a clock that nobody sets."""
    unsaid: float = 0.0
    """What passed here and the others do not know of yet."""
    said_at: float = float("-inf")

    def refill(self, policy: Policy, now: float) -> None:
        """Add what the time has brought."""
        self.tokens = min(policy.burst, self.tokens + policy.per_second * max(0.0, now - self.at))
        self.at = now

    def is_stale(self, policy: Policy, now: float, *, pause_seconds: float) -> bool:
        """Tell whether the others must be asked: much passed here, or nothing seems to be left."""
        if self.unsaid >= max(1.0, policy.burst * SHARE):
            return True
        return self.tokens < 1 and now - self.said_at >= pause_seconds

    def take(self) -> bool:
        """Let one request pass where there is a token for it."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        self.unsaid += 1
        return True

    def seconds_to_one(self, policy: Policy) -> float:
        """Return how long it takes until there is a token again."""
        return max(0.0, 1 - self.tokens) / policy.per_second
