"""What tests of outgoing calls share: a sender that may reach the loopback, calls, both loops."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from scheduler_svc.delivery.exchange import HttpRequest
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.url import parse_url

LOOPBACK = EgressRules.parse(allow=["127.0.0.0/8", "::1", "localhost"])
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test twice, each time in a loop of its own: asyncio's and uvloop's."""

    @functools.wraps(test)
    def run(*, loop_name: str, **fixtures: object) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(_bounded(test(**fixtures)))

    asked = inspect.signature(test)
    loop_name = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = asked.replace(  # type: ignore[attr-defined]
        parameters=[*asked.parameters.values(), loop_name], return_annotation=None
    )
    del run.__wrapped__
    marked: Callable[..., None] = pytest.mark.parametrize("loop_name", LOOPS)(run)
    return marked


async def _bounded(test: Awaitable[None]) -> None:
    async with asyncio.timeout(20):
        await test


@asynccontextmanager
async def sending(**settings: Any) -> AsyncIterator[Sender]:
    sender = Sender(**{"egress": LOOPBACK, **settings})
    try:
        yield sender
    finally:
        await sender.close()


def call(url: str, method: str = "POST", **changes: Any) -> HttpRequest:
    """A request with two seconds for each phase and a small body where the method takes one."""
    request: dict[str, Any] = {
        "method": method,
        "url": parse_url(url),
        "headers": [(b"x-test", b"yes")],
        "body": b'{"a": 1}' if method in {"POST", "PUT", "PATCH"} else b"",
        "connect_timeout": 2.0,
        "first_byte_timeout": 2.0,
        "total_timeout": 2.0,
    }
    return HttpRequest(**{**request, **changes})
