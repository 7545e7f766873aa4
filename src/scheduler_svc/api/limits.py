"""Rate limits: how many requests a caller may make, counted over all replicas.

Promises that what passes is the limit, give or take a tenth, however a caller's requests are spread
over the replicas; and that the database is asked about a caller a few times a second at most, and
for a caller well below its limit hardly ever. With the database away the replica counts alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from time import monotonic

from scheduler_svc.api.ratelimit_fields import fields
from scheduler_svc.domain.errors import RateLimited
from scheduler_svc.domain.limits import Bucket, Budget, Policy
from scheduler_svc.store import rate_limits
from scheduler_svc.store.pool import Pool, connection, is_database_away

PAUSE_SECONDS = 0.1
ASK_SECONDS = 1.0
KNOWN_MAX = 20_000


class Limiter:
    """The buckets of the callers seen last."""

    def __init__(
        self, pool: Pool, policies: Iterable[Policy], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._pool = pool
        self._policies = {policy.name: policy for policy in policies if policy.per_minute > 0}
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._asking: set[tuple[str, str]] = set()

    async def admit(self, client: str, budget: Budget) -> dict[str, str]:
        """Let a request pass and return the fields of its answer; raise RateLimited."""
        policy = self._policies.get(budget)
        if policy is None:
            return {}
        bucket = await self._known(client, policy)
        passed = bucket.take()
        told = fields(policy, bucket)
        if not passed:
            raise RateLimited(
                f"More than {policy.per_minute} requests a minute ({budget}); wait a moment.",
                limit=budget,
                wait_seconds=bucket.seconds_to_one(policy),
                told=told,
            )
        return told

    async def check(self, client: str, budget: Budget) -> None:
        """Raise RateLimited where nothing is left, without taking anything."""
        policy = self._policies.get(budget)
        if policy is None:
            return
        bucket = await self._known(client, policy)
        if bucket.tokens < 1:
            raise RateLimited(
                "Too many credentials from this address were not accepted; wait a moment.",
                limit=budget,
                wait_seconds=bucket.seconds_to_one(policy),
                told={},
            )

    async def _known(self, client: str, policy: Policy) -> Bucket:
        """Return a caller's bucket as it is now, asked about where it has to be."""
        key, now = (client, policy.name), self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(policy.burst, now)
            if len(self._buckets) > KNOWN_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.refill(policy, now)
        stale = bucket.is_stale(policy, now, pause_seconds=PAUSE_SECONDS)
        if stale and key not in self._asking:
            self._asking.add(key)
            try:
                await self._ask(client, policy, bucket)
            finally:
                self._asking.discard(key)
        return bucket

    async def _ask(self, client: str, policy: Policy, bucket: Bucket) -> None:
        """Tell the others what passed here, and learn what is left for all."""
        said, bucket.unsaid = bucket.unsaid, 0.0
        bucket.said_at = self._clock()
        try:
            async with connection(self._pool, seconds=ASK_SECONDS) as conn:
                left = await rate_limits.spend(conn, client, policy, said)
        except Exception as error:
            if not is_database_away(error):
                raise
            bucket.unsaid += said
            return
        bucket.tokens, bucket.at = left - bucket.unsaid, self._clock()


@lru_cache(maxsize=8192)
def address_of(peer: str | None) -> str:
    """Name a caller without credentials: by its address, and of IPv6 by its network of 64 bits."""
    try:
        found = ip_address(peer or "")
    except ValueError:
        return "address:unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return f"address:{found.ipv4_mapped}"
        return f"address:{ip_network((found, 64), strict=False)}"
    return f"address:{found}"
