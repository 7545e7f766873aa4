"""Judges the calls: none early, none unheard of, none twice without a fault that explains it.

A second call of a run is a retry where the receiver itself refused the first; it is explained where
a kill, pause or cut of the replica that held the attempt, or a fault of the database, lies between
the two; else it is not.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from chaos.checker.evidence import (
    SETTLE_MS,
    Attempt,
    Evidence,
    Fault,
    Finding,
    Looked,
    Request,
    Run,
)
from chaos.checker.ledger import id_of, stamp

EPSILON_MS = 10.0
"""How exact the receiver's log is."""
AT_INSTANT = frozenset({"schedule"})
RETRIED = frozenset({408, 425, 429}) | frozenset(range(500, 600))
ANSWER_LOST = frozenset({"timeout", "connect_error", "protocol_error"})


def judge_sendings(looked: Looked) -> Iterator[Finding]:
    """Judge every call, by run."""
    for run_id, requests in looked.of_run.items():
        run = looked.runs.get(run_id)
        for request in requests:
            yield from _judge_one(looked.all, run, request)
        if run is not None:
            yield from _doubled(looked.all, run, requests)
            yield from _stale(looked.all, run, requests)


def _judge_one(evidence: Evidence, run: Run | None, request: Request) -> Iterator[Finding]:
    where = (request.job, request.run, request.at_ms)
    cause = _set(evidence, request)
    gone = evidence.tail(request.at_ms, request.ended_ms)
    if run is None:
        own = request.run == id_of(request.job, request.scheduled_ms)
        why = "a call of a run that nobody knows"
        yield Finding("ghost", why, *where, gone if own else None)
        return
    if request.key != request.run:
        yield Finding("wrong id", f"Idempotency-Key is {request.key}", *where)
    if request.job != run.job or request.scheduled_ms != run.scheduled_ms:
        yield Finding("wrong id", "job or instant of the call are not those of its run", *where)
    early = run.scheduled_ms - request.at_ms
    if run.trigger in AT_INSTANT and early > EPSILON_MS:
        yield Finding("early", f"{early:.0f} ms before {stamp(run.scheduled_ms)}", *where, cause)
    if request.attempt > run.attempt_count:
        why = f"attempt {request.attempt}, and the record knows {run.attempt_count}"
        yield Finding("ghost", why, *where, gone)
    elif (
        request.attempt == run.attempt_count == 1
        and run.claimed_ms is not None
        and request.at_ms < run.claimed_ms - EPSILON_MS
    ):
        yield Finding("ghost", "called before it was claimed", *where, cause or gone)
    if run.status == "skipped":
        yield Finding("ghost", f"skipped as {run.reason}, and called", *where, gone)


def _set(evidence: Evidence, request: Request) -> str | None:
    """Name a step of the database's clock that replicas need not have read yet."""
    low = request.at_ms - request.doubt_ms
    steps = (one for one in evidence.faults if one.kind == "clock")
    return next((one.kind for one in steps if one.touches(None, low, request.at_ms)), None)


def _doubled(evidence: Evidence, run: Run, requests: Sequence[Request]) -> Iterator[Finding]:
    """Each call after the first needs a reason of its own."""
    records = {one.number: one for one in run.attempts}
    for first, second in pairwise(requests):
        where = (run.job, run.id, second.at_ms)
        if second.attempt == first.attempt:
            why = f"attempt {second.attempt} was sent twice"
            yield Finding("doubled", why, *where, evidence.tail(first.at_ms, first.ended_ms))
            continue
        low = min(first.attempt, second.attempt)
        if first.status in RETRIED or (first.status is None and _timed_out(records.get(low))):
            continue
        why = f"attempt {second.attempt} after attempt {first.attempt} was answered {first.status}"
        cause = evidence.tail(first.at_ms, first.ended_ms)
        cause = cause or _cause(evidence, records.get(low), first, second)
        yield Finding("doubled", why, *where, cause=cause)


def _timed_out(record: Attempt | None) -> bool:
    return record is not None and record.outcome in ANSWER_LOST


def _cause(
    evidence: Evidence, record: Attempt | None, first: Request, second: Request
) -> str | None:
    """Name the fault that made the outcome of an attempt unknown, if there is one."""
    replica = None if record is None else record.replica
    for fault in _between(evidence.faults, replica, first, second):
        if record is not None and (record.outcome == "lost" or record.outcome in ANSWER_LOST):
            return fault.kind
    return None


def _between(
    faults: Sequence[Fault], replica: str | None, first: Request, second: Request
) -> Iterator[Fault]:
    """Find faults of that replica between two calls: what began only after the first had ended
    and been settled does not count.
    """
    unknown_until = min(second.at_ms, first.ended_ms + SETTLE_MS)
    for fault in faults:
        if fault.touches(replica, first.at_ms - SETTLE_MS, unknown_until):
            yield fault


def _stale(evidence: Evidence, run: Run, requests: Sequence[Request]) -> Iterator[Finding]:
    """Nothing is sent of an attempt that others have taken over, or under a lease that is over."""
    highest, before = 0, requests[0]
    records = {one.number: one for one in run.attempts}
    for request in requests:
        where = (run.job, run.id, request.at_ms)
        if request.attempt < highest:
            why = f"attempt {request.attempt} was sent after attempt {highest}"
            yield Finding("stale", why, *where, evidence.tail(before.at_ms, before.ended_ms))
        highest, before = max(highest, request.attempt), request
        record = records.get(request.attempt)
        holder = run.replica if record is None else record.replica
        for fault in evidence.faults:
            lapses = fault.from_ms + evidence.lease_ms
            if (
                fault.kind in {"cut", "pause", "freeze"}
                and (not fault.replicas or holder in fault.replicas)
                and lapses + EPSILON_MS < request.at_ms < fault.until_ms
            ):
                why = f"sent {request.at_ms - lapses:.0f} ms after its lease had ended"
                yield Finding("stale", why, *where)
