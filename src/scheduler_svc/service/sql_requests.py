"""What applications asked for in SQL, carried out while the process serves.

Any replica does it, of whatever role; a notice at the commit wakes it, and where no notice is heard
it looks each second. A database that is away is waited for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scheduler_svc.api.context import Deps
from scheduler_svc.api.sql_requests import carry_out, may_be_repeated
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.settings import Settings
from scheduler_svc.store.chime import Turn

LOOK_SECONDS, LOOK_SECONDS_DEAF = 5.0, 1.0


@asynccontextmanager
async def carrying_out(settings: Settings, deps: Deps, heard: Alarm) -> AsyncIterator[None]:
    """Carry out what is asked for in SQL while the block runs; `heard` is rung by notices."""
    listens = settings.listen and settings.role != "api"
    every = LOOK_SECONDS if listens else LOOK_SECONDS_DEAF
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(_loop(deps, heard, every), name="sql requests")
        try:
            yield
        finally:
            loop.cancel()


async def _loop(deps: Deps, heard: Alarm, every: float) -> None:
    while True:
        heard.clear()
        try:
            while await carry_out(deps):
                pass
        except Exception as error:
            if not may_be_repeated(error):
                raise
        await heard.rest(every, Turn.SQL)
