"""Too many jobs in one minute: when to say so, and what would spread them.

Promises silence where the schedule is spread already, or fires in every minute anyway.
"""

from typing import Final
from uuid import UUID

from msgspec import UNSET

from scheduler_svc.domain.cadence import CronCadence
from scheduler_svc.domain.cron import is_hashed
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.occurrences import Timetable, compile_schedule, expressions_of
from scheduler_svc.domain.schedule import Schedule

HERD_MIN: Final = 100
"""So many other jobs in a minute are a herd."""
COUNT_MAX: Final = 10_000
MINUTE_MS: Final = 60_000
_EVERY_MINUTE: Final = (1 << 60) - 1


def can_be_spread(schedule: Schedule, timetable: Timetable | None = None) -> bool:
    """Tell whether a hint would help: neither `H` nor `spread` is used, nor every minute wanted.

    `timetable` is the schedule compiled, where it is at hand.
    """
    if schedule.spread != "0s" or any(is_hashed(text) for text in expressions_of(schedule)):
        return False
    if timetable is None:
        timetable = compile_schedule(schedule, job_id=UUID(int=0), created_at=instant_at(0))
    return not _fires_each_minute(timetable)


def hint(schedule: Schedule, others: int) -> str | None:
    """Say how many other jobs fire in the same minute; None where that is no herd."""
    if others < HERD_MIN:
        return None
    count = f"{others}" if others < COUNT_MAX else f"{COUNT_MAX} or more"
    cure = "`spread`" if schedule.cron is UNSET else "`H`"
    return f"{count} jobs already fire in this minute; {cure} would spread them."


def _fires_each_minute(timetable: Timetable) -> bool:
    cadence = timetable.cadence
    if not isinstance(cadence, CronCadence):
        return False
    return any(one.times.minutes == _EVERY_MINUTE for one in cadence.expressions)
