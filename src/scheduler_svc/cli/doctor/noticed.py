"""Whether LISTEN works on the way that this host takes to the database."""

import asyncio
import os
import secrets

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, warning
from scheduler_svc.store import notices
from scheduler_svc.store.pool import close_pool, connection, open_pool

HEARD_SECONDS = 2.0


async def look(around: Surroundings) -> list[Finding]:
    """Say a word to ourselves that no replica knows, and wait for it."""
    if not around.settings.listen or around.dsn is None:
        return []
    token, heard, ready = secrets.token_hex(8), asyncio.Event(), asyncio.Event()

    def hear(word: str, argument: str) -> None:
        ready.set()
        if (word, argument) == (notices.DOCTOR, token):
            heard.set()

    name = f"scheduler-svc doctor {os.getpid()}"
    listening = asyncio.ensure_future(notices.listen(around.dsn, hear, application_name=name))
    pool = await open_pool(around.dsn, application_name=name, size_max=1, statement_cache_size=0)
    try:
        async with asyncio.timeout(HEARD_SECONDS):
            await ready.wait()
            async with connection(pool) as conn:
                await notices.doctor(conn, token)
            await heard.wait()
    except TimeoutError:
        return [
            warning(
                "notices.deaf",
                "a notice was sent and not heard: a transaction pooler is in between",
                "replicas find new work, edits and cancels by looking, up to 5 s late",
                "SCHEDULER_LISTEN=false (they then look each second), or a direct DATABASE_URL",
            )
        ]
    finally:
        listening.cancel()
        await close_pool(pool)
    return []
