"""GET /replicas: those whose lease holds, and none that is dead."""

from uuid import uuid4

import httpx2

from factories import MORNING_MS, Clock
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store import replicas
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.replicas import Beat, Identity


async def test_replicas_are_listed_while_their_lease_holds(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    who = Identity(
        id=uuid4(),
        host="here",
        pid=7,
        version="0.1.0",
        tzdata="2026a",
        role="all",
        slots=100,
    )
    beat = Beat(
        started_at=instant_at(MORNING_MS),
        now_ms=MORNING_MS + 3000,
        lease_until_ms=MORNING_MS + 18_000,
        running=3,
        clock_offset_ms=0.25,
    )
    async with transaction(pool) as conn:
        await replicas.heartbeat(conn, who, beat)
    clock.ms = MORNING_MS + 18_000
    assert (await http.get("/replicas")).json() == {
        "items": [
            {
                "id": str(who.id),
                "host": "here",
                "pid": 7,
                "version": "0.1.0",
                "role": "all",
                "started_at": "2026-01-05T08:00:00Z",
                "heartbeat_at": "2026-01-05T08:00:03Z",
                "running": 3,
                "slots": 100,
                "clock_offset_ms": 0.25,
            }
        ],
        "next_cursor": None,
    }
    clock.ms = MORNING_MS + 18_001
    assert (await http.get("/replicas")).json()["items"] == []
