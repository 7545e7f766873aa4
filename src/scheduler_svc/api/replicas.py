"""GET /replicas: who is alive, by the lease that the heartbeat renews."""

from typing import Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire import NextCursor, Stamp, stamp
from scheduler_svc.store import replicas
from scheduler_svc.store.pool import connection


class Replica(Struct, frozen=True, kw_only=True):
    """A process of the service, its load, and how far its clock is from the database's."""

    id: UUID
    host: str
    pid: int
    version: str
    role: Literal["all", "api", "engine"]
    started_at: Stamp
    heartbeat_at: Stamp
    running: int
    slots: int
    clock_offset_ms: float


class ReplicaList(Struct, frozen=True, kw_only=True):
    """All replicas that are alive, oldest first."""

    items: list[Replica]
    next_cursor: NextCursor = None


async def list_replicas(call: Call) -> Reply:
    """List the replicas whose lease holds."""
    async with connection(call.deps.pool) as conn:
        found = await replicas.list_replicas(conn, now_ms=call.deps.now_ms())
    return Reply(body=ReplicaList(items=[_view(replica) for replica in found]))


def _view(replica: replicas.Replica) -> Replica:
    return Replica(
        id=replica.id,
        host=replica.host,
        pid=replica.pid,
        version=replica.version,
        role=replica.role,
        started_at=stamp(replica.started_at),
        heartbeat_at=stamp(replica.heartbeat_at),
        running=replica.running,
        slots=replica.slots,
        clock_offset_ms=replica.clock_offset_ms,
    )


ROUTES = (
    Route(
        method="GET",
        path="/replicas",
        handler=list_replicas,
        operation_id="list_replicas",
        summary="List the replicas that are alive",
        tag="replicas",
        answers={200: Answer(description="The replicas, oldest first.", type=ReplicaList)},
    ),
)
