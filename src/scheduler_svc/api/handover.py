"""After a change: wait until nothing of the old revision is held for a later instant (DESIGN 6.5).

Bounded by the lookahead: a held run was given up by then, or its instant has come.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from scheduler_svc.api.context import Call
from scheduler_svc.store import jobs
from scheduler_svc.store.bulk_change import is_held
from scheduler_svc.store.pool import connection

POLL_SECONDS = 0.02
MARGIN_SECONDS = 0.3


async def given_up(call: Call, job_id: UUID) -> None:
    """Return when no replica holds an unsent run of the job, or when the time for it is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + call.deps.lookahead_ms / 1000 + MARGIN_SECONDS
    # No event crosses from one replica to another: the rows are what tells.
    while await _is_held(call, job_id) and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


async def all_given_up(call: Call, job_ids: Sequence[UUID]) -> None:
    """Return when no replica holds an unsent run of any of these jobs, or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + call.deps.lookahead_ms / 1000 + MARGIN_SECONDS
    while job_ids and loop.time() < deadline:
        async with connection(call.deps.pool) as conn:
            if not await is_held(conn, job_ids, now_ms=call.deps.now_ms()):
                return
        await asyncio.sleep(POLL_SECONDS)


async def _is_held(call: Call, job_id: UUID) -> bool:
    async with connection(call.deps.pool) as conn:
        return bool(await jobs.held_until(conn, job_id, now_ms=call.deps.now_ms()))
