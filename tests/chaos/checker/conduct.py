"""Judges what holds between runs: overlap, pauses and deletions that were acknowledged, edits."""

from collections.abc import Iterator
from itertools import pairwise

from chaos.checker.evidence import Call, Evidence, Finding, Job, Looked, Request
from chaos.checker.ledger import stamp

SINGLE = frozenset({"skip", "queue"})
AMBIGUOUS = frozenset({"kill", "pause", "cut", "freeze", "restart", "promotion", "tail"})


def judge_conduct(looked: Looked) -> Iterator[Finding]:
    """Judge the calls of each job beside one another."""
    of_job: dict[str, list[Request]] = {}
    for requests in looked.of_run.values():
        for request in requests:
            of_job.setdefault(request.job, []).append(request)
    for job in looked.all.jobs:
        requests = sorted(of_job.get(job.id, ()), key=lambda one: one.span)
        if job.overlap in SINGLE:
            yield from _overlapping(looked, job, requests)
        yield from _disobeyed(looked.all, job, requests)


def _overlapping(looked: Looked, job: Job, requests: list[Request]) -> Iterator[Finding]:
    """Two runs of a job are never at the receiver at once, unless a frozen or cut holder let go."""
    for first, second in pairwise(requests):
        mine = [looked.runs.get(one.run) for one in (first, second)]
        if first.run == second.run or any(r is None or r.trigger != "schedule" for r in mine):
            continue
        if second.span[0] < first.span[1]:
            by = f"{first.span[1] - second.span[0]:.0f} ms"
            why = (
                f"{stamp(second.scheduled_ms)} began {by} before {stamp(first.scheduled_ms)} ended"
            )
            cause = next(
                (
                    fault.kind
                    for fault in looked.all.faults
                    if fault.kind in AMBIGUOUS and fault.touches(None, first.at_ms, second.at_ms)
                ),
                None,
            )
            yield Finding("overlap", why, job.id, second.run, second.at_ms, cause)


def _disobeyed(evidence: Evidence, job: Job, requests: list[Request]) -> Iterator[Finding]:
    """After the answer to a pause, a delete or an edit, nothing later of the old is sent."""
    calls = sorted((c for c in evidence.calls if c.job == job.id), key=lambda call: call.sent_ms)
    for number, call in enumerate(calls):
        if not call.acknowledged or call.acked_ms is None:
            continue
        until = _until(calls[number + 1 :])
        for request in requests:
            if not call.acked_ms < request.scheduled_ms < until:
                continue
            where = (job.id, request.run, request.at_ms)
            if call.verb in {"pause", "delete"} and not _by_hand(evidence, request):
                why = f"{stamp(request.scheduled_ms)} was sent though {call.verb} was acknowledged"
                yield Finding("disobeyed", why, *where)
            elif (
                call.path
                and call.verb not in {"pause", "delete"}
                and request.path
                not in {
                    call.path,
                    *(c.path for c in calls[number + 1 :] if c.path and c.sent_ms <= request.at_ms),
                }
            ):  # sent late, it is sent as the job is defined by then
                why = f"{request.path} was called though {call.path} was acknowledged"
                yield Finding("disobeyed", why, *where)


def _until(later: list[Call]) -> float:
    """From when on the next call may have changed things again."""
    return min((call.sent_ms for call in later), default=float("inf"))


def _by_hand(evidence: Evidence, request: Request) -> bool:
    """Tell whether a call is that of a trigger."""
    run = next((one for one in evidence.runs if one.id == request.run), None)
    return run is not None and run.trigger != "schedule"
