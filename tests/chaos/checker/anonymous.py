"""The second opinion, which believes no id: does some call lie in the window of each occurrence?

As Jepsen did it: windows by job, in order, each taken by the first call that fits and is free. It
must not miss more than the exact judge does.
"""

from chaos.checker.evidence import Looked
from chaos.checker.expected import expected
from chaos.checker.ledger import OF_SCHEDULE
from chaos.checker.sendings import EPSILON_MS


def unmatched(looked: Looked, *, late_ms: float) -> list[tuple[str, int]]:
    """Return the occurrences in whose windows no call of their job lies, with the job.

    Occurrences that the records say were not sent are left out: skipped, cancelled, failed unsent.
    """
    calls: dict[str, list[float]] = {}
    for requests in looked.of_run.values():
        calls.setdefault(requests[0].job, []).append(requests[0].at_ms)
    missing = []
    for job in looked.all.jobs:
        arrived = sorted(calls.get(job.id, ()))
        unsent = _unsent(looked, job.id)
        place = 0
        for at in expected(looked.all, job, margin_ms=looked.all.margin_ms).demanded:
            if any(first <= at <= last for first, last in unsent):
                continue
            while place < len(arrived) and arrived[place] < at - EPSILON_MS:
                place += 1
            if place < len(arrived) and arrived[place] <= at + late_ms:
                place += 1
            else:
                missing.append((job.id, at))
    return missing


def _unsent(looked: Looked, job: str) -> list[tuple[float, float]]:
    return [
        (run.scheduled_ms, run.until_ms or run.scheduled_ms)
        for run in looked.of_job.get(job, ())
        if run.trigger in OF_SCHEDULE and run.status in {"skipped", "cancelled"}
    ]
