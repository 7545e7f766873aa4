"""Runs in the store, as the API reads and changes them; the engine's side is in claims."""

from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.deferral import Deferral
from scheduler_svc.domain.ids import instant_at, scheduled_ms_of
from scheduler_svc.domain.runs import Attempt, Overrides, Run, Trigger
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

ATTEMPT = msgspec.json.Decoder(Attempt)
DEFERRAL = msgspec.json.Decoder(Deferral)


class ExtraRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run beside the cadence: a trigger, a replay, a backfill."""

    id: UUID
    scheduled_ms: int
    job_id: UUID
    job_name: str | None
    namespace: str
    trigger: Trigger
    priority: int
    due_ms: int
    queued: bool = False
    replay_of: UUID | None = None
    backfill_id: UUID | None = None
    overrides: Overrides | None = None


async def insert_run(conn: Connection, run: ExtraRun) -> None:
    """Write a waiting run; the caller holds the job's timer and sends the notice."""
    overrides = None if run.overrides is None else msgspec.json.encode(run.overrides).decode()
    await conn.execute(
        statement("insert_run"),
        run.id,
        instant_at(run.scheduled_ms),
        run.job_id,
        run.job_name,
        run.namespace,
        run.trigger,
        run.priority,
        instant_at(run.due_ms),
        run.queued,
        run.replay_of,
        run.backfill_id,
        overrides,
    )


async def get_run(
    conn: Connection, namespace: str, run_id: UUID, *, lock: bool = False
) -> tuple[Run, Overrides | None] | None:
    """Read one run with its attempts, and what it overrides; its id names its partition."""
    row = await conn.fetchrow(
        statement("lock_run" if lock else "get_run"),
        namespace,
        run_id,
        instant_at(scheduled_ms_of(run_id)),
    )
    if row is None:
        return None
    overrides = row["overrides"]
    return run_of(row), (
        None if overrides is None else msgspec.json.decode(overrides, type=Overrides)
    )


async def cancel_waiting(conn: Connection, run_id: UUID, *, now_ms: int) -> bool:
    """End a waiting run at once; False where it is not waiting."""
    rows = await conn.fetch(
        statement("cancel_waiting_run"),
        run_id,
        instant_at(scheduled_ms_of(run_id)),
        instant_at(now_ms),
    )
    return bool(rows)


async def ask_cancel(conn: Connection, run_id: UUID) -> bool:
    """Mark a running run for its holder to end; False where it is not running."""
    rows = await conn.fetch(
        statement("ask_cancel"), [run_id], [instant_at(scheduled_ms_of(run_id))]
    )
    return bool(rows)


def deferral_of(row: Record) -> Deferral | None:
    """Read why a run waits or waited because of its key; who was called off waited until then."""
    if row["deferral"] is None:
        return None
    found = DEFERRAL.decode(row["deferral"])
    if found.until is None and row["finished_at"] is not None:
        found = msgspec.structs.replace(found, until=row["finished_at"])
    return found


def run_of(row: Record) -> Run:
    """Make a run of a row, its attempts decoded."""
    values = dict(row)
    values.pop("overrides", None)
    values["deferral"] = deferral_of(row)
    values["attempts"] = [ATTEMPT.decode(text) for text in row["attempts"]]
    return Run(**values)
