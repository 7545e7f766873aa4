"""Targets that misbehave hold back nobody else: what is due beside them is sent and settled."""

import asyncio
from contextlib import AsyncExitStack

from misbehaving import FAULTS
from receiver import receiving
from rig import HOUR, Rig
from scheduler_svc.engine import dispatch, settle

EVERY = {"every": "1h"}
HEALTHY = 20
HANGING = [name for name, fault in FAULTS.items() if fault[1] == "timeout"]


async def test_a_healthy_target_is_served_while_all_others_hang_drip_and_break(rig: Rig) -> None:
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(receiving())
        hostile = {}
        for name, fault in FAULTS.items():
            url = bad.on(f"/{name.replace(' ', '-')}", fault[0])
            # Higher priority, so that all of them leave before any healthy one.
            hostile[name] = await rig.job(
                schedule=EVERY, priority=100, target={"url": url, "timeout": "30s"}
            )
        healthy = [await rig.job(schedule=EVERY, priority=-100) for _ in range(HEALTHY)]
        await rig.pass_time(HOUR)
        await rig.tick()
        assert len(rig.held()) == len(hostile) + HEALTHY
        async with asyncio.TaskGroup() as tasks:
            dispatch.start_due(rig.parts, rig.outbox, tasks)
            # First those that answer somehow; those that hang are still under way then.
            while len(rig.held()) > len(HANGING):
                await rig.parts.to_settle.wait(None)
                rig.parts.to_settle.clear()
                await settle.flush(rig.parts, rig.outbox)
            for job in healthy:
                assert await rig.said(job) == [("succeeded", None)]
            for name in HANGING:
                assert await rig.said(hostile[name]) == [("running", None)]
            bad.cut()
        await rig.settle()
        assert not rig.held()
