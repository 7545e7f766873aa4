"""GET /runs/{id}: one run with all its attempts."""

from uuid import UUID

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_runs import RunDetail, RunReplays, run_view
from scheduler_svc.domain import runs
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.ids import looks_like_id, scheduled_ms_of
from scheduler_svc.domain.occurrences import HORIZON
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.store import replays
from scheduler_svc.store import runs as stored
from scheduler_svc.store.pool import Connection, connection


async def get_run(call: Call) -> Reply:
    """Return a run."""
    async with connection(call.deps.pool) as conn:
        run, _ = await find_run(conn, call)
        chain = await replays.chain_of(conn, run.id)
    view = run_view(run)
    shown = RunReplays(
        count=chain.count,
        succeeded=chain.succeeded,
        failed=chain.failed,
        unfinished=chain.unfinished,
    )
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return Reply(body=RunDetail(**fields, replays=shown))


async def find_run(
    conn: Connection, call: Call, *, lock: bool = False
) -> tuple[runs.Run, Overrides | None]:
    """Return the run that the path names; raise NotFound."""
    run_id = path_run(call.path["id"])
    found = None
    if run_id is not None:
        found = await stored.get_run(conn, call.namespace, run_id, lock=lock)
    if found is None:
        raise NotFound(f"There is no run '{call.path['id'][:128]}'.")
    return found


def path_run(text: str) -> UUID | None:
    """Read an id; one that names an instant beyond all schedules names no run."""
    if not looks_like_id(text):
        return None
    run_id = UUID(text)
    return run_id if scheduled_ms_of(run_id) <= HORIZON else None


ROUTES = (
    Route(
        method="GET",
        path="/runs/{id}",
        handler=get_run,
        operation_id="get_run",
        summary="Read a run",
        tag="runs",
        answers={200: Answer(description="The run with all attempts.", type=RunDetail)},
        problems=(404,),
    ),
)
