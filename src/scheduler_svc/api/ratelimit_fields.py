"""The fields `RateLimit-Policy` and `RateLimit`, and `Retry-After`: the one place that writes them.

After draft-ietf-httpapi-ratelimit-headers-10, whose fields are structured (RFC 9651). A draft may
change, so nothing else knows how they look.
"""

import math

from scheduler_svc.domain.limits import WINDOW_SECONDS, Bucket, Policy


def fields(policy: Policy, bucket: Bucket) -> dict[str, str]:
    """Say what the budget is, and what is left of it for how long."""
    left = max(0, math.floor(bucket.tokens))
    until = math.ceil((policy.burst - bucket.tokens) / policy.per_second)
    return {
        "RateLimit-Policy": f'"{policy.name}";q={policy.per_minute};w={WINDOW_SECONDS}',
        "RateLimit": f'"{policy.name}";r={left};t={max(0, until)}',
    }


def retry_after(seconds: float) -> str:
    """Write a time to wait: whole seconds, and at least one."""
    return str(max(1, math.ceil(seconds)))
