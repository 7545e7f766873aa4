"""One question for all that is looked for each second, so that an idle service asks little."""

from datetime import datetime
from typing import Literal, get_args

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

Duty = Literal["rescue", "spent", "overdue", "watched", "backfills", "replays", "unsealed"]
ALL: frozenset[Duty] = frozenset(get_args(Duty))


async def glance(
    conn: Connection, *, now_ms: int, paced_until_ms: int, unsealed_since: datetime
) -> frozenset[Duty]:
    """Tell of which duties there is something to do now."""
    row = await conn.fetchrow(
        statement("glance"), instant_at(now_ms), instant_at(paced_until_ms), unsealed_since
    )
    return ALL if row is None else frozenset(duty for duty in ALL if row[duty])
