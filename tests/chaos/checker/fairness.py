"""Judges whether the crowd of one namespace keeps another waiting: by order, not by a clock.

Between the instant of a run of the few and its first call, at most so many calls of the many.
"""

from bisect import bisect_left
from collections.abc import Iterator

from chaos.checker.evidence import Finding, Looked
from chaos.checker.lateness import firsts


def judge_fairness(looked: Looked, few: str, many: str, between_max: int) -> Iterator[Finding]:
    """Find runs of the few that had to wait for more of the many; jobs are told by their names."""
    names = {job.id: job.name for job in looked.all.jobs}
    crowd = sorted(
        run.scheduled_ms + late
        for run, late in firsts(looked)
        if names.get(run.job, "").startswith(f"{many}-")
    )
    for run, late in firsts(looked):
        if names.get(run.job, "").startswith(f"{few}-"):
            begin, end = run.scheduled_ms, run.scheduled_ms + late
            between = bisect_left(crowd, end) - bisect_left(crowd, begin)
            if between > between_max:
                why = f"{between} calls of {many} came first, {between_max} may"
                yield Finding("unfair", why, run.job, run.id, end)


def spoken(looked: Looked, few: str, many: str) -> str:
    """Say how long each of the two waited, and how many of the many came before the last few."""
    names = {job.id: job.name for job in looked.all.jobs}
    late: dict[str, list[float]] = {few: [], many: []}
    for run, ms in firsts(looked):
        group = names.get(run.job, "").rpartition("-")[0]
        if group in late:
            late[group].append(ms)
    last = max(late[few], default=0.0)
    before = sum(ms < last for ms in late[many])
    return (
        f"{few} ({len(late[few])}): last after {last:.0f} ms, {before} of {many} before it;"
        f" {many} ({len(late[many])}): last after {max(late[many], default=0.0):.0f} ms"
    )
