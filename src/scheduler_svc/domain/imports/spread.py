"""Delays that others draw at random: one of ours, the same for a job each time.

Promises a delay that ends before the next occurrence can come, as jobs must have it.
"""

from itertools import pairwise
from typing import Final

import msgspec

from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.expression import ANY_JOB
from scheduler_svc.domain.imports.shape import duration
from scheduler_svc.domain.occurrences import compile_schedule, take
from scheduler_svc.domain.schedule import Schedule

_LOOKED_AT: Final = 400


def set_spread(draft: Draft, seconds: int, there: str) -> None:
    """Set the delay of a schedule that is otherwise whole; `there` says what others do."""
    if seconds <= 0:
        return
    room = _room(draft, seconds)
    if room <= 0:
        draft.differs("spread", f"{there}; occurrences a second apart leave no room for one")
        return
    draft.schedule["spread"] = duration(room)
    shorter = "" if room == seconds else f"; {duration(seconds)} would reach the next occurrence"
    draft.differs(
        "spread", f"{there}; here a job has one below {duration(room)}, always the same{shorter}"
    )


def _room(draft: Draft, seconds: int) -> int:
    """Return so many seconds as fit before the soonest next occurrence, less one."""
    schedule = msgspec.convert({**draft.schedule}, Schedule)
    now = draft.options.now
    timetable = compile_schedule(schedule, job_id=ANY_JOB, created_at=now)
    coming = take(timetable, epoch_ms(now), _LOOKED_AT)
    shortest = min((later - earlier for earlier, later in pairwise(coming)), default=None)
    return seconds if shortest is None else min(seconds, shortest // 1000 - 1)
