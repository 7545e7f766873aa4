"""Writing what a file of jobs comes to: one transaction, a few statements for many jobs.

Promises the states, ledger and cadence of the single verbs. A job that is not what it was found to
be is refused, with everything else. Locks go in the order of all: timers first.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from scheduler_svc.api import audit, bulk_act, identity
from scheduler_svc.api.apply_read import Change, Found
from scheduler_svc.api.bulk_read import BulkReader, Draft
from scheduler_svc.api.bulk_write import Outcome, write
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_change import LockedJob, look_at, revised
from scheduler_svc.api.job_edit import edit
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.jobs import Definition, Job, OidcAuth
from scheduler_svc.store import apply, incidents, notices
from scheduler_svc.store.pool import Connection

BATCH = 250


class Overtaken(Conflict):
    """Somebody made, changed or deleted one of the jobs since they were looked at."""


class Written(Struct, frozen=True):
    """The ids of jobs that were made, by index, and the jobs that replicas may hold runs of."""

    ids: dict[int, UUID]
    held: list[UUID]


async def write_all(
    conn: Connection, call: Call, found: Found, reader: BulkReader, *, owner: str | None
) -> Written:
    """Change, delete, then create; raise Overtaken where something has changed meanwhile."""
    locked = await _locked(conn, call, found)
    held = await _change(conn, call, found.changes, locked)
    held += await _delete(conn, call, found.deleted, owner)
    outcome = await _create(conn, found, reader)
    if outcome.refused:
        index, refused = next(iter(sorted(outcome.refused.items())))
        faults = tuple(
            one._replace(pointer=f"/jobs/{index}{one.pointer}") for one in refused.faults
        )
        raise Overtaken(refused.detail, faults)
    asking = [*(change.definition for change in found.changes), reader.asks_identity]
    await _ensure_identity(conn, call, asking)
    if outcome.earliest_ms is not None:
        await notices.wake(conn, outcome.earliest_ms)
    kept = None if owner is None else {"owner": owner}
    made = list(outcome.ids.values())
    await audit.note_jobs(conn, call, Action.JOBS_CREATED, made, after=kept)
    return Written(outcome.ids, held)


async def _locked(conn: Connection, call: Call, found: Found) -> dict[UUID, LockedJob]:
    """Lock what is changed and deleted; raise Overtaken where it is not as it was found."""
    known = {job.id: job for job in (*(one.before for one in found.changes), *found.deleted)}
    if not known:
        return {}
    ids, locked = sorted(known), dict[UUID, LockedJob]()
    for begin in range(0, len(ids), BATCH):
        found_here = await bulk_act.lock_jobs(conn, call, ids[begin : begin + BATCH])
        locked |= {one.job.id: one for one in found_here}
    for job_id, job in known.items():
        if job_id not in locked or locked[job_id].job.revision != job.revision:
            raise Overtaken(
                f"The job '{job.definition.name}' changed while this was judged; nothing was done."
                " Repeat the request."
            )
    return locked


async def _change(
    conn: Connection, call: Call, changes: Sequence[Change], locked: dict[UUID, LockedJob]
) -> list[UUID]:
    """Give jobs their other definitions; return those that replicas may hold runs of."""
    held: list[UUID] = []
    staying: list[tuple[LockedJob, Definition]] = []
    for change in changes:
        one = locked[change.before.id]
        if one.job.definition.schedule == change.definition.schedule:
            staying.append((one, change.definition))
            continue
        done = await edit(conn, one, change.definition)
        await audit.note_job(conn, call, Action.JOB_UPDATED, one.job, done.job)
        held.append(one.job.id)
    for begin in range(0, len(staying), BATCH):
        held += await _redefine(conn, call, staying[begin : begin + BATCH])
    return held


async def _redefine(
    conn: Connection, call: Call, batch: Sequence[tuple[LockedJob, Definition]]
) -> list[UUID]:
    """Write definitions under which the timers stay where they are (G7)."""
    pairs = [(one, revised(one, definition)) for one, definition in batch]
    await apply.change_definitions(conn, [after for _, after in pairs], pairs[0][0].now)
    aimed = [
        after.id for one, after in pairs if one.job.definition.target != after.definition.target
    ]
    if aimed:
        await apply.unkey(conn, aimed)
    await incidents.watch_all(conn, {after.id: look_at(one, after) for one, after in pairs})
    held = []
    for one, after in pairs:
        await audit.note_job(conn, call, Action.JOB_UPDATED, one.job, after)
        if one.unsent is not None and one.unsent.held:
            await notices.edited(conn, after.id, timer_moved=False)
            held.append(after.id)
    return held


async def _delete(
    conn: Connection, call: Call, jobs: Sequence[Job], owner: str | None
) -> list[UUID]:
    """Delete what the owner keeps no longer."""
    held: list[UUID] = []
    ids = [job.id for job in jobs]
    for begin in range(0, len(ids), BATCH):
        acted = await bulk_act.delete(conn, call, ids[begin : begin + BATCH])
        held += acted.held
    await audit.note_jobs(conn, call, Action.JOBS_DELETED, ids, after={"owner": owner})
    return held


async def _create(conn: Connection, found: Found, reader: BulkReader) -> Outcome:
    """Write new jobs, batch by batch."""
    outcome = Outcome()
    batches = [found.drafts[at : at + BATCH] for at in range(0, len(found.drafts), BATCH)]
    ready: asyncio.Queue[list[Draft]] = asyncio.Queue()
    for batch in [*batches, []]:
        ready.put_nowait(batch)
    await write(conn, ready, outcome, reader)
    return outcome


async def _ensure_identity(
    conn: Connection, call: Call, definitions: Sequence[Definition | None]
) -> None:
    """See that there is a key for identity tokens, where any of the jobs sends them."""
    for definition in definitions:
        if definition is not None and isinstance(definition.target.auth, OidcAuth):
            await identity.ensure(conn, call, definition)
            return
