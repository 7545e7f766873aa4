"""Targets that misbehave hold back nobody else: what is due beside them is sent and settled."""

import asyncio
from contextlib import AsyncExitStack

from misbehaving import FAULTS
from receiver import Receiver, receiving
from rig import HOUR, attempts, rigged
from scheduler_svc.engine import dispatch, settle
from scheduler_svc.store.pool import Pool

EVERY = {"every": "1h"}
HEALTHY = 20
HANGING = [name for name, fault in FAULTS.items() if fault[1] == "timeout"]
OF_EACH = 8
"""Together more than one target has connections, so that they also wait for each other."""


async def test_a_healthy_target_is_served_while_all_others_hang_drip_and_break(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(receiving())
        rig = await stack.enter_async_context(rigged(engine_pool, receiver, slots=300))
        hanging = []
        for name, fault in FAULTS.items():
            url = bad.on(f"/{name.replace(' ', '-')}", fault[0])
            for _ in range(OF_EACH if name in HANGING else 1):
                # Of higher priority, so that all of them leave before any healthy one.
                job = await rig.job(
                    schedule=EVERY, priority=100, target={"url": url, "timeout": "30s"}
                )
                hanging += [job] if name in HANGING else []
        healthy = {await rig.job(schedule=EVERY, priority=-100) for _ in range(HEALTHY)}
        await rig.pass_time(HOUR)
        await rig.tick()
        assert len(rig.held()) == len(FAULTS) - len(HANGING) + len(hanging) + HEALTHY
        assert len(hanging) > 64
        async with attempts(rig.parts) as tasks:
            dispatch.start_due(rig.parts, rig.outbox, tasks)
            async with asyncio.timeout(20):
                while any(held.claim.job_id in healthy for held in rig.held()):
                    await rig.parts.to_settle.wait(None)
                    rig.parts.to_settle.clear()
                    await settle.flush(rig.parts, rig.outbox)
            for job in healthy:
                assert await rig.said(job) == [("succeeded", None)]
            for job in hanging:
                assert await rig.said(job) == [("running", None)]
            for held in rig.held():
                dispatch.cancel(rig.parts, rig.outbox, held.claim.id)
        await rig.settle()
        assert not rig.held()
