"""Writing the jobs of a bulk request: batch by batch, while others are still being judged.

What became of each item is noted by its index. The rows are those that a create of one would write.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from scheduler_svc.api.bulk_read import BulkReader, Draft
from scheduler_svc.api.job_change import moved
from scheduler_svc.api.job_create import sent
from scheduler_svc.api.job_quota import full
from scheduler_svc.api.job_view import planned
from scheduler_svc.domain.drift import versions
from scheduler_svc.domain.errors import Fault, NameTaken, Refused
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import bulk, incidents, timers
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import NIL


class Outcome(Struct):
    """What became of the items so far; `ids` and `refused` are by index."""

    ids: dict[int, Any] = {}
    refused: dict[int, Refused] = {}
    earliest_ms: int | None = None
    twins: bool = False
    """Some name was given twice: no answer can be right for both."""
    room: int | None = None
    """How many more jobs the namespace may have; None where nobody counts."""

    def wake_at(self, ms: int | None) -> None:
        if ms is not None and (self.earliest_ms is None or ms < self.earliest_ms):
            self.earliest_ms = ms


async def write(
    conn: Connection, ready: "asyncio.Queue[list[Draft]]", outcome: Outcome, reader: BulkReader
) -> None:
    """Write batches until an empty one, as far as there is room for jobs."""
    while batch := await ready.get():
        while batch and outcome.room != 0:
            fitting = batch[: outcome.room]
            batch = batch[len(fitting) :]
            made = await _insert(conn, fitting, outcome, reader.now_ms)
            outcome.room = None if outcome.room is None else outcome.room - made
        for draft in batch:
            outcome.refused[draft.index] = full(draft.job.namespace, reader.quotas)


async def _insert(conn: Connection, batch: Sequence[Draft], outcome: Outcome, now_ms: int) -> int:
    """Write jobs; note what was made, and whose name is taken; return how many were made."""
    made = await bulk.insert_jobs(
        conn,
        [draft.row for draft in batch],
        namespace=batch[0].job.namespace,
        now=batch[0].job.created_at,
        versions=versions(),
    )
    past, looks = [], {}
    for draft in batch:
        job = draft.job
        if job.id not in made:
            detail = f"A job named '{job.definition.name}' exists already."
            fault = Fault("/name", detail, "name_taken")
            outcome.refused[draft.index] = NameTaken(detail, (fault,))
            continue
        outcome.ids[draft.index] = job.id
        outcome.wake_at(draft.fire_ms)
        if draft.past:
            past.append(draft)
        if draft.look is not None:
            looks[job.id] = draft.look
    await _write_past(conn, past, outcome, now_ms)
    await incidents.watch_all(conn, looks)
    return len(made)


async def _write_past(conn: Connection, past: list[Draft], outcome: Outcome, now_ms: int) -> None:
    """Write what becomes of instants that were past already when their job was made."""
    decisions = []
    for draft in past:
        job = draft.job
        at = None if job.scheduled_for is None else epoch_ms(job.scheduled_for)
        decisions.append(moved(planned(job), at, sent(draft.past), draft.past))
        if any(run.status == "due" for run in draft.past):
            outcome.wake_at(now_ms)
    if decisions:
        await timers.write_decisions(conn, decisions, replica=NIL, now_ms=now_ms)
