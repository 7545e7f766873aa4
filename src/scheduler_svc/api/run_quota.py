"""The quota of runs a minute for what a caller asks for now: a trigger, a replay of one run.

It counts with the occurrences, over all replicas. A caller is told to come again instead of being
put off: who triggers by hand wants to see it run.
"""

from scheduler_svc.api.context import Call
from scheduler_svc.api.ratelimit_fields import retry_after
from scheduler_svc.domain.errors import Fault, Invalid, QuotaExceeded
from scheduler_svc.domain.quotas import CODE, Quotas
from scheduler_svc.store.calendars import wait_for_calendar, write_calendar
from scheduler_svc.store.pool import Connection


async def count_runs(
    conn: Connection, call: Call, quotas: Quotas, count: int = 1, pointer: str = ""
) -> None:
    """Count runs that begin now; raise QuotaExceeded where this minute has no room for them.

    More than a whole minute may hold are Invalid. Locks the calendar, which comes before runs.
    """
    quota = quotas.runs_per_minute
    if quota is None or count == 0:
        return
    limit = f"the namespace's quota is {quota} runs a minute (runs_per_minute)"
    if count > quota:
        detail = f"asks for {count} runs at once; {limit}: ask for a part at a time"
        raise Invalid([Fault(pointer, detail, CODE)])
    now_ms = call.deps.now_ms()
    calendar = await wait_for_calendar(conn, call.namespace, now_ms=now_ms)
    next_ms = calendar.take_now(count, quota=quota)
    if next_ms is not None:
        wait = (next_ms - now_ms) / 1000
        detail = f"This minute has no room left: {limit}. Try again in {retry_after(wait)} s."
        raise QuotaExceeded(detail, (Fault(pointer, detail, CODE),), wait_seconds=wait)
    await write_calendar(conn, call.namespace, calendar)
