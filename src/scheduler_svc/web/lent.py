"""What the process lends to the dashboard, and what a page asks our own API and is answered.

Pages have no second truth: what the API can tell is asked of the API itself, in process, as the
caller of the page. `pool` is for sums that it has no route for.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct, field
from starlette.types import Scope

from scheduler_svc.store.pool import Pool
from scheduler_svc.web.remembered import Remembered


class Answered(Struct, frozen=True):
    """What the API answered: `body` is the JSON as Python values, None where there is none."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}


Ask = Callable[[Scope, str, str, str | None], Awaitable[Answered]]
"""Asks for a path with a query, as the caller of the request of that scope; the last is the
namespace that a caller of all of them means."""


class Lent(Struct, frozen=True, kw_only=True):
    """What pages are made with; `now_ms` is the database's clock in epoch milliseconds."""

    ask: Ask
    pool: Pool
    now_ms: Callable[[], int]
    version: str
    remembered: Remembered = field(default_factory=Remembered)
