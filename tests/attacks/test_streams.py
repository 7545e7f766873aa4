"""Streams of events among callers who are slow or many: the bounds are for those, not for these."""

import time
from contextlib import AsyncExitStack

import msgspec
import pytest
from starlette.datastructures import Headers

from raw import Wire, listening
from scheduler_svc.api import events
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.feed import Feed
from scheduler_svc.api.gate import Gate
from scheduler_svc.domain.access import Caller
from scheduler_svc.service.connection import Bounds
from scheduler_svc.store.pool import Pool
from serving import Clock

HOST = b"Host: localhost\r\n"
STREAM = b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n"
QUICK = Bounds(head_seconds=0.3, body_seconds=0.3, answer_seconds=0.3, connections_max=3)
BEAT_SECONDS, BEATS = 0.2, 8
"""Together several times what anything else may take."""


@pytest.fixture
def shown(deps: Deps, pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Deps:
    monkeypatch.setattr(events, "BEAT_SECONDS", BEAT_SECONDS)
    monkeypatch.setattr(events, "LOOK_SECONDS", BEAT_SECONDS / 4)
    return msgspec.structs.replace(deps, feed=Feed(pool, clock, poll_seconds=0.2))


async def begun(wire: Wire) -> None:
    await wire.send(STREAM)
    answer = await wire.answer()
    assert answer is not None
    assert answer.fields["content-type"].startswith("text/event-stream")


async def beats(wire: Wire) -> None:
    for _ in range(BEATS):
        await wire.until(b": beat\n\n")


async def test_a_stream_outlives_every_bound_and_makes_room_for_nobody(shown: Deps) -> None:
    async with listening(build_app(shown), QUICK) as place, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(place.wire()) for _ in range(2)]
        for stream in streams:
            await begun(stream)
        for _ in range(10):
            idle = await stack.enter_async_context(place.wire())
            await idle.send(b"GET /healthz HTTP/1.1\r\n")
        for stream in streams:
            await beats(stream)


async def test_a_head_that_follows_on_its_connection_does_not_cut_a_stream(shown: Deps) -> None:
    async with listening(build_app(shown), QUICK) as place, place.wire() as wire:
        await begun(wire)
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: lo")
        await beats(wire)


async def test_a_place_is_free_again_when_the_caller_of_a_stream_is_gone(shown: Deps) -> None:
    async with listening(build_app(shown), QUICK) as place:
        for _ in range(2 * QUICK.connections_max):
            async with place.wire() as wire:
                await begun(wire)
                await wire.until(b": beat\n\n")


class Counting(Gate):
    """The gate, and how often it was asked."""

    asked = 0

    async def caller(
        self, headers: Headers, peer: str | None, session: str | None = None
    ) -> Caller:
        self.asked += 1
        return await super().caller(headers, peer, session)


async def test_credentials_are_judged_by_the_clock_and_not_by_how_much_happens(
    shown: Deps, pool: Pool
) -> None:
    gate = Counting(pool, shown.now_ms, required=False)
    app = build_app(msgspec.structs.replace(shown, gate=gate))
    async with listening(app, QUICK) as place, place.wire() as wire:
        begin = time.monotonic()
        await begun(wire)
        await beats(wire)
        elapsed = time.monotonic() - begin
    assert 1 < gate.asked <= 2 + elapsed / events.JUDGE_SECONDS
