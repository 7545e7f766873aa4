"""The end of attempts: outcomes gather for some milliseconds and are written in one statement.

Fenced: a row that another replica has taken over does not match, which is an event, not an error.
While the database is away outcomes wait here, bounded by the slots they keep (G8).
"""

import asyncio
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from scheduler_svc.domain.completion import timeout_ms
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.outcome import Failed, Retryable, Succeeded
from scheduler_svc.domain.retry import GiveUp, TryAgain, next_attempt
from scheduler_svc.domain.runs import UNFINISHED, RunStatus
from scheduler_svc.engine import aftermath, told, tracing
from scheduler_svc.engine.bounds import next_occurrence_ms
from scheduler_svc.engine.ended import Ended, Settled
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import backfills, completion, settlements
from scheduler_svc.store.incidents import Noted
from scheduler_svc.store.pool import Connection, is_database_away, run_alone, run_once_more
from scheduler_svc.store.settlements import Settlement

GATHER_SECONDS = 0.005
GATHERS_MAX = 8
RUSH = 5
"""So many ends in the time of gathering are a rush."""
BATCH_MAX = 500
GONE = "the target answered 410 Gone"
BACKOFF_SECONDS_MAX = 2.0
PLAINLY: Settled = ("succeeded", None)
Written: TypeAlias = list[tuple[Ended, Settlement]]


class Outbox:
    """Ends that wait to be settled, and held runs that wait to be given back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.ended: list[Ended] = []
        self.lapsed: list[tuple[HeldRun, bool]] = []
        """With each, whether its occurrence is to be forgotten."""

    def put(self, ended: Ended) -> None:
        """Take the end of an attempt."""
        first = not self.ended
        self.ended.append(ended)
        if first:  # where others lie there already, nobody waits for one
            self._parts.to_settle.ring()

    def unsendable(self, held: HeldRun, *, forget: bool = False) -> None:
        """Take a run that may not be sent any more and can not be given back yet."""
        self.lapsed.append((held, forget))
        self._parts.to_mend.ring()


async def run(parts: Parts, outbox: Outbox) -> None:
    """Settle what gathers, for ever; a database that is away is waited for."""
    failures = 0
    while True:
        parts.to_settle.clear()
        if not outbox.ended:
            await parts.to_settle.wait(None)
        await _gather(outbox)
        try:
            await flush(parts, outbox)
            failures = 0
        except Exception as error:
            if not is_database_away(error):
                raise
            failures += 1
            await asyncio.sleep(min(BACKOFF_SECONDS_MAX, 0.05 * 2 ** min(failures, 10)))


async def _gather(outbox: Outbox) -> None:
    """Let ends gather, and more of them while many come in: what a batch costs beside its rows is
    shared then, and the claim that follows it finds as many slots. A full batch waits for nothing.
    """
    seen = 0
    for _ in range(GATHERS_MAX):
        if len(outbox.ended) >= BATCH_MAX:
            return
        await asyncio.sleep(GATHER_SECONDS)
        waiting = len(outbox.ended)
        if waiting - seen < RUSH:
            return
        seen = waiting


async def flush(parts: Parts, outbox: Outbox) -> None:
    """Settle one batch; on failure it stays in the outbox.

    Who waits for its slots need not wait for the database: they are free while it is asked.
    """
    batch = outbox.ended[:BATCH_MAX]
    if not batch:
        return
    written = [(ended, _settlement(parts, ended)) for ended in batch]
    held = [ended.held for ended in batch]
    missed = parts.hand.free == 0 or parts.hand.background_free == 0 or _is_choked(parts)
    with parts.hand.settling(held):
        if missed:
            parts.slots_free.ring()
            parts.to_claim.ring()
        settled, noted = await _settled(parts, written)
        del outbox.ended[: len(batch)]
        parts.hand.drop_all(held)
    told.tell(parts, written, settled)
    again = [ended.held.claim.keyed for ended, settlement in written if settlement.status == "due"]
    parts.pressure.waits |= any(again)
    for job_id in [s.job_id for e, s in written if e.held.job.once and s.status != "due"]:
        parts.jobs.let_go(job_id)
    aftermath.tell(parts, noted)
    if parts.on_span is not None:
        tracing.settled(parts, parts.on_span, written, settled)
    if again or parts.pressure.waits:
        parts.to_claim.ring()
    if outbox.ended:
        parts.to_settle.ring()


async def _settled(parts: Parts, written: Written) -> tuple[dict[UUID, Settled], Noted]:
    telling = _leading_on(parts, written)
    ends = [settlement for _, settlement in written]
    seconds = parts.limits.database_seconds
    if not telling and all(one.plain for one in ends):
        # One statement, which needs no transaction around it.
        settled = await run_alone(
            parts.pool, lambda conn: _settle_plain(conn, ends), seconds=seconds
        )
        return settled, Noted([], {})
    return await run_once_more(
        parts.pool,
        lambda conn: _write(parts, conn, written, telling, parts.clock.now_ms()),
        seconds=seconds,
    )


def _is_choked(parts: Parts) -> bool:
    return parts.pressure.is_choked(now_ms=parts.clock.now_ms())


async def _write(
    parts: Parts, conn: Connection, written: Written, telling: Written, now_ms: int
) -> tuple[dict[UUID, Settled], Noted]:
    in_line = {ended.held.claim.job_id for ended, _ in telling if _may_free_another(ended)}
    gone = {
        ended.held.claim.job_id
        for ended, settlement in telling
        if settlement.reason == "gone" and ended.held.claim.trigger != "alert"
    }
    pausing = {e.held.claim.job_id for e, s in telling if aftermath.may_pause(e.held, s)}
    # Timers are locked before jobs and runs, everywhere, and in one order.
    if in_line | gone | pausing:
        await settlements.lock_queues(conn, sorted(in_line | gone | pausing))
    paused: list[UUID] = []
    if gone:
        paused = await settlements.pause_jobs(conn, sorted(gone), reason=GONE, now_ms=now_ms)
        await backfills.cancel_backfills_of(conn, sorted(gone), reason="gone", now_ms=now_ms)
    settled = await _settle(conn, [settlement for _, settlement in written], now_ms)
    if in_line:
        open_still = {
            ended.held.claim.job_id
            for ended, settlement in telling
            if settlement.id in settled and settled[settlement.id][0] in UNFINISHED
        }
        if freed := in_line - open_still:
            await settlements.release_queued(conn, sorted(freed), now_ms=now_ms)
    cases = [
        aftermath.case_of(parts, ended.held, settlement, settled[settlement.id])
        for ended, settlement in telling
        if aftermath.is_heeded(parts, ended.held) and settlement.id in settled
    ]
    noted = await aftermath.note(
        parts, conn, cases, now_ms=now_ms, paused=dict.fromkeys(paused, GONE)
    )
    return settled, noted


async def _settle(conn: Connection, batch: list[Settlement], now_ms: int) -> dict[UUID, Settled]:
    """Write ends; plain ones, and those whose targets report the end themselves, have statements
    of their own.
    """
    settled: dict[UUID, Settled] = {}
    if plain := [one for one in batch if one.plain]:
        settled |= await _settle_plain(conn, plain)
    others = [one for one in batch if one.timeout_ms is None and not one.plain]
    found = await settlements.settle(conn, others) if others else {}
    for one in others:
        if (status := found.get(one.id)) is not None:
            settled[one.id] = status, one.reason if status == one.status else "cancelled"
    if callbacks := [one for one in batch if one.timeout_ms is not None]:
        settled |= await completion.settle_callbacks(conn, callbacks, now_ms=now_ms)
    return settled


async def _settle_plain(conn: Connection, batch: list[Settlement]) -> dict[UUID, Settled]:
    return dict.fromkeys(await settlements.settle_plain(conn, batch), PLAINLY)


def _leading_on(parts: Parts, written: Written) -> Written:
    """Return the ends that may lead to anything beside their rows: of most, nothing is asked."""
    names = {ended.held.job.key.namespace for ended, _ in written}
    heeded = {name for name in names if parts.namespace_alerts(name) is not None}
    return [
        (ended, settlement)
        for ended, settlement in written
        if settlement.status != "succeeded"
        or (held := ended.held).job.leads_on
        or held.claim.trigger != "schedule"
        or (heeded and held.job.key.namespace in heeded)
    ]


def _may_free_another(ended: Ended) -> bool:
    """Tell whether a run of the same job may wait in line behind this one.

    What is caught up after a pause may wait behind others too: upkeep lets that go.
    """
    rule = ended.held.job.plan.definition
    if rule.overlap in {"queue", "allow"}:
        return rule.overlap == "queue"
    return ended.held.claim.trigger == "catch_up" or rule.misfire.policy == "all"


def _settlement(parts: Parts, ended: Ended) -> Settlement:
    """Decide what an end makes of its run: final, or due again."""
    match ended.verdict:
        case Succeeded():
            # Where the target reports the end itself, its answer only says that it took the run.
            return _final(ended, "running" if ended.held.job.reports else "succeeded", None)
        case Failed(reason):
            return _final(ended, "failed", reason)
        case Retryable() if ended.held.cancelled:
            return _final(ended, "cancelled", "cancelled")
        case Retryable(retry_after_ms):
            return _again(ended, _follows(parts, ended, retry_after_ms))
        case _:
            assert_never(ended.verdict)


def _again(ended: Ended, follows: TryAgain | GiveUp) -> Settlement:
    match follows:
        case TryAgain(at_ms):
            again = _final(ended, "due", None)
            return msgspec.structs.replace(again, finished_ms=None, next_attempt_ms=at_ms)
        case GiveUp(reason):
            return _final(ended, "failed", reason)
        case _:
            assert_never(follows)


def _final(ended: Ended, status: RunStatus, reason: str | None) -> Settlement:
    claim, job = ended.held.claim, ended.held.job
    record, started_ms, ended_ms = ended.record, ended.started_ms, ended.ended_ms
    sent, began = record is not None, claim.started_at
    limit_ms = timeout_ms(job.plan.definition.target) if job.reports else None
    first = sent and began is None
    return Settlement(
        id=claim.id,
        job_id=claim.job_id,
        scheduled_ms=claim.scheduled_ms,
        attempt=claim.attempt,
        status=status,
        reason=reason,
        record=None if record is None else record.text,
        started_ms=started_ms if sent else None,
        finished_ms=ended_ms,
        # Of the first attempt that left; one that was lost with its replica may never have.
        lateness_ms=started_ms - claim.scheduled_ms if first else None,
        duration_ms=ended_ms - (started_ms if began is None else epoch_ms(began)),
        timeout_ms=limit_ms,
        plain=first and claim.attempt == 1 and status == "succeeded" and limit_ms is None,
    )


def _follows(parts: Parts, ended: Ended, retry_after_ms: int | None) -> TryAgain | GiveUp:
    claim = ended.held.claim
    plan = ended.held.job.plan
    return next_attempt(
        plan.definition.retry,
        made=claim.attempt - claim.lost,
        first_ms=ended.first_ms,
        now_ms=ended.ended_ms,
        next_occurrence_ms=next_occurrence_ms(plan, claim, ended.first_ms),
        retry_after_ms=retry_after_ms,
        rand=parts.rand(),
    )
