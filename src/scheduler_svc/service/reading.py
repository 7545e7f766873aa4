"""The standby that lists and history are read from, where one is set."""

from contextlib import AsyncExitStack

from scheduler_svc.domain.events import EventName, OnEvent
from scheduler_svc.settings import Settings
from scheduler_svc.store.pool import Pool, open_pool
from scheduler_svc.store.standby import Standby

CONNECT_SECONDS = 2.0


def standby_of(
    settings: Settings, primary: Pool, on_event: OnEvent, stack: AsyncExitStack
) -> Standby | None:
    """Return the standby of the settings, to be closed with the stack; None without any."""
    if (dsn := settings.read_database_url) is None:
        return None

    def on_change(error: BaseException | None) -> None:
        if error is None:
            on_event(EventName.STANDBY_BACK)
        else:
            on_event(EventName.STANDBY_AWAY, error=repr(error))

    async def opened() -> Pool:
        return await open_pool(
            dsn,
            application_name="scheduler-svc reads",
            size_max=settings.pool_size,
            statement_cache_size=settings.statement_cache,
            connect_seconds=CONNECT_SECONDS,
        )

    standby = Standby(primary, opened, wait_seconds=settings.read_wait, on_change=on_change)
    stack.push_async_callback(standby.close)
    return standby
