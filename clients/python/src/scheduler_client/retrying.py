"""How a request is brought to its end: sent, waited for, sent again, given up. No I/O.

`conversation` yields what to do next (a number: wait so many seconds; an Ask: send it) and is sent
what came of that. What may be repeated is repeated after 429, 502, 503, 504, a request under the
same key in progress, and a connection that broke. What may not is repeated only where it can not
have been taken: the service said 429, or was never reached.
"""

import random
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from scheduler_client.asks import Answer, Ask
from scheduler_client.problems import Problem, Unanswered, problem_of

T = TypeVar("T")
Step = float | Ask[Any]
BAD, GONE, MANY, CONFLICT = 400, 404, 429, 409
PASSING = frozenset({502, 503, 504})
_POLICY = re.compile(r'"(?P<name>[^"]*)";q=(?P<q>\d+)(?:;w=(?P<w>\d+))?')
_LEFT = re.compile(r'"(?P<name>[^"]*)";r=(?P<r>\d+)(?:;t=(?P<t>\d+))?')


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """How often, and how long apart. `Retry-After` wins over the curve; beyond `wait_max` seconds
    the refusal is raised at once, with `retry_after`.
    """

    attempts: int = 6
    initial: float = 0.2
    multiplier: float = 2.0
    delay_max: float = 10.0
    wait_max: float = 60.0

    def delay(self, attempt: int) -> float:
        """Return how long to wait after this attempt: anything up to the curve (full jitter)."""
        # No further than any curve needs, for a float has an end and streams may end for days.
        ceiling = min(self.delay_max, self.initial * self.multiplier ** min(attempt - 1, 30))
        return random.uniform(0, ceiling)  # noqa: S311 - it spreads callers, and guards nothing


@dataclass(frozen=True, slots=True)
class Lost:
    """No whole answer; `sent` tells whether the request may have been taken all the same."""

    error: Exception
    sent: bool


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the service said of a budget: what is left of it, and until when it is filled up."""

    remaining: int
    reset_seconds: int
    free_at: float
    """When there is room for one more, by the monotonic clock."""


def conversation(
    ask: Ask[T], retry: Retry, limits: dict[str, RateLimit]
) -> Generator[Step, Answer | Lost | None, T]:
    """Bring a request to its end; raise a Problem, or Unanswered."""
    doubtful = False
    for attempt in range(1, retry.attempts + 1):
        if (seconds := _pace(ask, limits, retry)) > 0:
            yield seconds
        said = yield ask
        last = attempt == retry.attempts
        if isinstance(said, Lost):
            if last or (said.sent and ask.repeat == "unsent"):
                raise Unanswered(_sentence(ask, said, attempt)) from said.error
            doubtful = doubtful or said.sent
            yield retry.delay(attempt)
            continue
        if said is None:
            raise RuntimeError("a request was answered by nobody")
        note(said, ask.budget, limits)
        if said.status < BAD or (said.status == GONE and doubtful and ask.method == "DELETE"):
            return ask.read(said)
        refusal = problem_of(said.status, said.body, retry_after_of(said))
        if last or (wait := _wait(refusal, ask, retry, attempt)) is None:
            raise refusal
        doubtful = doubtful or said.status in PASSING
        yield wait
    raise RuntimeError("Retry.attempts must be 1 or more")


def _wait(refusal: Problem, ask: Ask[Any], retry: Retry, attempt: int) -> float | None:
    """Return how long to wait before the request is sent again, None where it is not."""
    after = refusal.retry_after
    if refusal.status == MANY:
        again = refusal.code == "rate_limited" or after is not None
    elif refusal.status == CONFLICT:
        again = refusal.code == "idempotency_in_progress"
    else:
        again = refusal.status in PASSING and ask.repeat == "always"
    if not again or (after or 0) > retry.wait_max:
        return None
    return retry.delay(attempt) + (after or 0)


def _pace(ask: Ask[Any], limits: Mapping[str, RateLimit], retry: Retry) -> float:
    """Return how long to wait for a budget that is used up, as its last answer said."""
    known = limits.get(ask.budget)
    if known is None:
        return 0.0
    return min(retry.wait_max, known.free_at - time.monotonic())


def note(said: Answer, budget: str, limits: dict[str, RateLimit]) -> None:
    """Remember what an answer says of its budget; nothing where it says nothing."""
    left = _LEFT.search(said.headers.get("ratelimit", ""))
    if left is None:
        return
    policy = _POLICY.search(said.headers.get("ratelimit-policy", ""))
    remaining, until = int(left["r"]), int(left["t"] or 0)
    # One more is free after a share of the window; without a policy, only once all is.
    share = int(policy["w"] or 0) / max(1, int(policy["q"])) if policy is not None else float(until)
    wait = 0.0 if remaining else share
    limits[budget] = RateLimit(remaining, until, time.monotonic() + wait)


def retry_after_of(said: Answer) -> float | None:
    """Read `Retry-After`: seconds, or a date, as proxies write it; what is neither is no wait."""
    text = said.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _sentence(ask: Ask[Any], lost: Lost, attempts: int) -> str:
    why = str(lost.error) or type(lost.error).__name__
    times = "" if attempts == 1 else f" ({attempts} attempts)"
    doubt = "; what became of it is not known" if lost.sent and ask.method != "GET" else ""
    return f"{ask.method} {ask.path}: no answer: {why}{times}{doubt}"
