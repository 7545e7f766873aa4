"""Judges the records: each occurrence is there once, ended once, under the id that it must have.

Finds what was lost, planned by nobody, counted twice or wrongly, never ended, overwritten after its
end, skipped without a reason, and acknowledged writes that are gone.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from uuid import UUID

from chaos.checker.evidence import FINAL, Evidence, Finding, Job, Looked, Run
from chaos.checker.expected import Expected, expected

OF_SCHEDULE = frozenset({"schedule", "catch_up"})
SECOND_MS = 1000.0
"""What is younger than this when the records are read may be unfinished."""
End = tuple[str, str | None, float | None]
OUTAGE_REASONS = frozenset({"misfire", "too_late", "merged"})


def judge_ledger(looked: Looked) -> Iterator[Finding]:
    """Hold the records of every job against its occurrences."""
    for job in looked.all.jobs:
        yield from _judge_job(
            looked, job, expected(looked.all, job, margin_ms=looked.all.margin_ms)
        )
    known = {job.id for job in looked.all.jobs}
    for run in looked.all.runs:
        if run.job not in known:
            yield Finding("unplanned", "a run of a job that nobody made", run.job, run.id)
        if run.trigger in OF_SCHEDULE and run.id != id_of(run.job, run.scheduled_ms):
            yield Finding("wrong id", "its id is not that of its occurrence", run.job, run.id)
    yield from _overwritten(looked)
    yield from _forgotten(looked)


def _judge_job(looked: Looked, job: Job, wanted: Expected) -> Iterator[Finding]:
    covered: dict[int, Run] = {}
    yield from _cover(looked, job, wanted, covered)
    for at in wanted.demanded:
        run = covered.get(at)
        if run is None:
            yield Finding("lost", f"nothing tells of {stamp(at)}", job.id, None, at)
        elif run.status not in FINAL:
            yield Finding("lost", f"{stamp(at)} is still {run.status}", job.id, run.id, at)
        elif run.status == "succeeded" and not looked.of_run.get(run.id):
            why = f"{stamp(at)} succeeded, and nobody was called"
            yield Finding("lost", why, job.id, run.id, at)


def _cover(
    looked: Looked, job: Job, wanted: Expected, covered: dict[int, Run]
) -> Iterator[Finding]:
    """Note which row stands for which occurrence; each row for what it says, each once."""
    planned = set(wanted.permitted)
    for run in looked.of_job.get(job.id, ()):
        if run.trigger not in OF_SCHEDULE:
            continue
        yield from _reasoned(looked.all, job, run, looked.of_job[job.id])
        last = run.scheduled_ms if run.until_ms is None else run.until_ms
        names = wanted.between(run.scheduled_ms, last)
        if run.scheduled_ms not in planned:
            why = f"{stamp(run.scheduled_ms)} is no occurrence"
            yield Finding("unplanned", why, job.id, run.id, run.scheduled_ms)
        elif len(names) != run.occurrences:
            why = f"it counts {run.occurrences} occurrences, there were {len(names)}"
            yield Finding("misfire count", why, job.id, run.id, run.scheduled_ms)
        for at in names:
            if at in covered:
                why = f"{stamp(at)} is in two rows, {covered[at].id} too"
                yield Finding("counted twice", why, job.id, run.id, at)
            covered[at] = run


def _reasoned(evidence: Evidence, job: Job, run: Run, others: Sequence[Run]) -> Iterator[Finding]:
    """A skip needs what it names: another run at that time, or an outage."""
    if run.status != "skipped":
        return
    at = run.scheduled_ms
    if run.reason == "overlap" and not _set(evidence, run):
        if job.overlap == "allow" or not any(_open(evidence, one, at, run) for one in others):
            why = "skipped for an overlap, and no run of the job was open"
            yield Finding("no reason", why, job.id, run.id, at)
    elif run.reason in OUTAGE_REASONS:
        last = run.until_ms or at
        decided = run.finished_ms or evidence.read_ms
        if not any(fault.touches(None, last - job.grace_ms, decided) for fault in evidence.faults):
            why = f"skipped as {run.reason}, and there was no outage"
            yield Finding("no reason", why, job.id, run.id, at)


def _set(evidence: Evidence, run: Run) -> bool:
    """Tell whether the clock was set about then: instants of before and after do not compare."""
    ended = evidence.read_ms if run.finished_ms is None else run.finished_ms
    low, high = min(run.scheduled_ms, ended), max(run.scheduled_ms, ended)
    return any(f.kind == "clock" and f.touches(None, low, high) for f in evidence.faults)


def _open(evidence: Evidence, one: Run, at_ms: float, than: Run) -> bool:
    """Tell whether the records can have shown a run as unfinished when another was skipped.

    That is decided from its instant on, and maybe late: a claim looks a second ahead, an end is
    written within one, or once a fault lets it.
    """
    if one.id == than.id or one.status == "skipped":
        return False
    ends = float("inf") if one.finished_ms is None else one.finished_ms
    decided = max(at_ms, than.finished_ms or at_ms)
    if one.scheduled_ms > decided + SECOND_MS:
        return False
    late = (fault.touches(None, ends - SECOND_MS, at_ms) for fault in evidence.faults)
    return ends >= at_ms - SECOND_MS or any(late)


def _overwritten(looked: Looked) -> Iterator[Finding]:
    """What was final at one look is so at each later one."""
    ended: dict[str, End] = {}
    told: set[str] = set()
    for sample in sorted(looked.all.samples, key=lambda one: one.at_ms):
        now = (sample.status, sample.reason, sample.finished_ms)
        before = ended.setdefault(sample.run, now) if sample.status in FINAL else None
        before = ended.get(sample.run) if before is None else before
        if before is not None and before != now and sample.run not in told:
            told.add(sample.run)
            yield _changed(looked.all, sample.run, before, now, sample.at_ms)
    for run_id, before in ended.items():
        run = looked.runs.get(run_id)
        if run is None:
            why, cause = "it was seen ended and is not there any more", _in_tail(looked.all, before)
            yield Finding("lost", why, None, run_id, before[2], cause)
        elif (run.status, run.reason, run.finished_ms) != before and run_id not in told:
            now = (run.status, run.reason, run.finished_ms)
            yield _changed(looked.all, run_id, before, now, None)


def _changed(
    evidence: Evidence, run: str, before: End, now: object, at_ms: float | None
) -> Finding:
    why = f"ended as {before}, then {now}"
    return Finding("overwritten", why, None, run, at_ms, _in_tail(evidence, before))


def _in_tail(evidence: Evidence, end: End) -> str | None:
    """Name the tail in which an end was written."""
    return None if end[2] is None else evidence.tail(end[2])


def _forgotten(looked: Looked) -> Iterator[Finding]:
    """An acknowledged trigger is a run, an acknowledged create a job."""
    for call in looked.all.calls:
        if call.acknowledged and call.run is not None and call.run not in looked.runs:
            why = f"an acknowledged {call.verb} left no run"
            cause = looked.all.tail(call.sent_ms, call.acked_ms)
            yield Finding("forgotten", why, call.job, call.run, call.acked_ms, cause)


def id_of(job: str, scheduled_ms: float) -> str:
    """Compute the id of a scheduled run as the documentation defines it."""
    at = round(scheduled_ms)
    rest = sha256(UUID(job).bytes + at.to_bytes(8, "big")).digest()[:10]
    raw = bytearray(at.to_bytes(6, "big") + rest)
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(raw)))


def stamp(ms: float) -> str:
    """Write an instant within its minute for a reader."""
    return f"{round(ms) // 1000 % 3600 // 60:02d}:{round(ms) / 1000 % 60:06.3f}"
