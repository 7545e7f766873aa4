"""Judges what became of occurrences that came while every replica was down, by each job's policy.

`skip` sends none of them, `once` the last at most, `all` those that are not too late, oldest first
and a thousand at most. That they are counted rightly is the ledger's to judge.
"""

from bisect import bisect
from collections.abc import Iterator

from chaos.checker.evidence import Evidence, Fault, Finding, Job, Looked
from chaos.checker.expected import expected
from chaos.checker.ledger import stamp

DOWN, CLOCK = "down", "clock"
AHEAD_MS = 3000.0
"""So far ahead of an outage a replica may have claimed, or have sent a little late."""
CAUGHT_UP_MAX = 1000
DAY_MS = 86_400_000.0
ORDER_MS = 5000.0
"""So much the sending of two may be apart from their order: slots, retries, three replicas."""


def judge_misfires(looked: Looked) -> Iterator[Finding]:
    """Judge each outage of all replicas, job by job."""
    for fault in looked.all.faults:
        if fault.kind != DOWN:
            continue
        back_ms = _back(looked.all, fault)
        for job in looked.all.jobs:
            yield from _judge(looked, job, fault, back_ms)


def _back(evidence: Evidence, down: Fault) -> float:
    """From when on there can have been a replica again: after the clock had been set."""
    inside = [one for one in evidence.faults if one.kind == CLOCK and _within(one, down)]
    return max((one.until_ms for one in inside), default=down.from_ms) - 1000


def _within(one: Fault, down: Fault) -> bool:
    return down.from_ms <= one.until_ms <= down.until_ms


def _judge(looked: Looked, job: Job, down: Fault, back_ms: float) -> Iterator[Finding]:
    named = expected(looked.all, job, margin_ms=looked.all.margin_ms)
    missed = named.between(down.from_ms + AHEAD_MS, back_ms - job.grace_ms - 1)
    if not missed:
        return
    sent = _sent(looked, job, missed[0], missed[-1])
    more = len(sent) > 1 or any(at < missed[-1] for at, _ in sent)
    if (job.misfire == "skip" and sent) or (job.misfire == "once" and more):
        yield _wrong(job, f"{len(sent)} of {len(missed)} missed were sent", sent[0][0])
    elif job.misfire == "once" and not sent and not _merged(looked, job, missed[-1], down):
        yield _wrong(job, f"none was sent for {len(missed)} missed", missed[-1])
    elif job.misfire == "all":
        backs = sorted(_back(looked.all, one) for one in looked.all.faults if one.kind == DOWN)
        yield from _all(job, missed, sent, (back_ms, down.until_ms), backs)


def _sent(looked: Looked, job: Job, first_ms: float, last_ms: float) -> list[tuple[float, float]]:
    """Return the instants of a stretch that were called, and when first, by instant."""
    return [
        (run.scheduled_ms, looked.of_run[run.id][0].at_ms)
        for run in looked.of_job.get(job.id, ())
        if first_ms <= run.scheduled_ms <= last_ms and run.id in looked.of_run
    ]


def _merged(looked: Looked, job: Job, last_ms: float, down: Fault) -> bool:
    """Tell whether one that was not missed stands for them, or all of them were too late."""
    later = _sent(looked, job, last_ms + 1, down.until_ms + job.grace_ms)
    return bool(later) or down.until_ms - last_ms > (job.lateness_ms or DAY_MS)


def _all(
    job: Job,
    missed: list[int],
    sent: list[tuple[float, float]],
    judged: tuple[float, float],
    backs: list[float],
) -> Iterator[Finding]:
    """Those within `max_lateness`, from the oldest on, without a gap, in order, and no more.

    `judged` bounds the instant at which a replica looked: between these an older one may be sent.
    What was still unsent when all went down again comes after what had been sent: `backs` tell from
    when on there were replicas again.
    """
    reach = job.lateness_ms or DAY_MS
    wanted = [at for at in missed if at > judged[1] - reach][:CAUGHT_UP_MAX]
    named = [at for at, _ in sent]
    gone = sorted(set(wanted) - set(named))
    if len(named) > CAUGHT_UP_MAX or any(at < judged[0] - reach for at in named):
        yield _wrong(job, f"{len(named)} of {len(missed)} missed were sent", named[0])
    if len(named) < CAUGHT_UP_MAX and gone:
        yield _wrong(job, f"{len(gone)} of {len(wanted)} that all wants were not sent", gone[0])
    latest: dict[int, float] = {}
    for at, called_ms in sent:
        life = bisect(backs, called_ms)
        before_ms = latest.get(life, called_ms)
        if called_ms < before_ms - ORDER_MS:
            why = f"{stamp(at)} was sent {before_ms - called_ms:.0f} ms before older"
            yield _wrong(job, why, at)
            return
        latest[life] = max(before_ms, called_ms)


def _wrong(job: Job, why: str, at_ms: float) -> Finding:
    return Finding("misfire policy", f"{job.misfire}: {why}", job.id, None, at_ms)
