"""What tests of pressure share: limits, replicas under one clock, and a door at the target."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from receiver import OK, Received, Receiver, Wire
from rig import Rig, attempts, rigged
from scheduler_svc.domain.pressure import Ceiling, Key
from scheduler_svc.engine import dispatch
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.keys import delete_key, put_key
from scheduler_svc.store.pool import Pool, transaction

KEY = Key("default", "k")
ALL_SLOTS = PressureRules(share=1.0)


async def limit(
    pool: Pool, *, parallel: int | None = None, per_second: float | None = None, key: Key = KEY
) -> None:
    """Give a key limits, as the API does."""
    async with transaction(pool) as conn:
        await put_key(conn, key, Ceiling(parallel, per_second))


async def unlimit(pool: Pool, key: Key = KEY) -> None:
    """Take them away."""
    async with transaction(pool) as conn:
        assert await delete_key(conn, key)


@asynccontextmanager
async def replicas(
    pool: Pool,
    receiver: Receiver,
    count: int = 3,
    *,
    pressure: PressureRules = ALL_SLOTS,
    **limits: Any,
) -> AsyncIterator[list[Rig]]:
    """So many replicas under one clock."""
    async with AsyncExitStack() as stack:
        built: list[Rig] = []
        for _ in range(count):
            clock = built[0].clock if built else None
            built.append(
                await stack.enter_async_context(
                    rigged(pool, receiver, clock=clock, pressure=pressure, **limits)
                )
            )
        yield built


async def pass_time(rigs: list[Rig], ms: int) -> None:
    """Let time pass for all replicas, their leases kept."""
    rigs[0].clock.move(ms)
    for rig in rigs:
        await rig.beat()


class Door:
    """A target that keeps calls until told; it knows how many were open at once, at most."""

    def __init__(self) -> None:
        self.open = 0
        self.most = 0
        self._opened = asyncio.Condition()
        self._let = asyncio.Semaphore(0)

    async def behave(self, wire: Wire, _: Received) -> None:
        async with self._opened:
            self.open += 1
            self.most = max(self.most, self.open)
            self._opened.notify_all()
        try:
            await self._let.acquire()
        finally:
            self.open -= 1
        await wire.send(OK)

    async def has(self, count: int) -> None:
        """Wait until so many calls are open."""
        async with self._opened:
            await self._opened.wait_for(lambda: self.open == count)

    def let_go(self, count: int) -> None:
        """Answer so many calls."""
        for _ in range(count):
            self._let.release()


async def send_all(rigs: list[Rig], door: Door, expected: int) -> None:
    """Have all replicas send what they hold: so many calls are open then, and are answered."""
    async with attempts(*[rig.parts for rig in rigs]) as tasks:
        for rig in rigs:
            dispatch.start_due(rig.parts, rig.outbox, tasks)
        await door.has(expected)
        door.let_go(expected)
    for rig in rigs:
        await rig.settle()


async def deferrals(rig: Rig) -> list[dict[str, Any] | None]:
    """Return what each run of the ledger says it waited for, oldest occurrence first."""
    return [None if r["deferral"] is None else json.loads(r["deferral"]) for r in await rig.runs()]


def held(rigs: list[Rig]) -> int:
    """Count what all replicas hold."""
    return sum(len(rig.held()) for rig in rigs)
