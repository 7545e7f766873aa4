"""Jobs as they were answered last, for those who look at the same job again and again.

Promises the answer that `job_view` would give now: it is given again only for a job that is equal
in all that is stored, and until time alone may change what is said about it.
"""

from collections import OrderedDict
from uuid import UUID

from msgspec import Struct, json

from scheduler_svc.api.job_view import HOUR_MS, job_view
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Job

KEPT_MAX, KEPT_LENGTH_MAX = 512, 8192
"""How many answers are kept, and how long one is at most."""


class _Kept(Struct, frozen=True):
    job: Job
    until_ms: int
    text: bytes


class Shown:
    """The answers given last, by job."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    def text(self, job: Job, *, now_ms: int) -> bytes:
        """Return a job as its answer in JSON."""
        kept = self._kept.get(job.id)
        if kept is not None and now_ms < kept.until_ms and kept.job == job:
            return kept.text
        view = job_view(job, now_ms=now_ms)
        text = json.encode(view)
        until_ms = _stays_until(job, now_ms)
        if until_ms is not None and not view.warnings and len(text) <= KEPT_LENGTH_MAX:
            self._kept[job.id] = _Kept(job, until_ms, text)
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return text


def _stays_until(job: Job, now_ms: int) -> int | None:
    """Return up to when time changes nothing about an answer without warnings.

    None where the occurrences shown follow now, not what is planned. Clock changes come into
    sight by the hour.
    """
    if job.scheduled_for is None:
        return None
    return min(epoch_ms(job.scheduled_for), now_ms - now_ms % HOUR_MS + HOUR_MS)
