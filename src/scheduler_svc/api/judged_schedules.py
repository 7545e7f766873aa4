"""Schedules that were judged good, remembered: most creates bring one that was seen before.

Promises to remember only what is good whenever it is asked and whoever's job it is: expressions
that do not draw on a job's id, without an end.
"""

from collections import OrderedDict

import msgspec
from msgspec import UNSET

from scheduler_svc.domain.schedule import Schedule

KNOWN_MAX = 4096
_ENCODER = msgspec.json.Encoder()
_good: OrderedDict[bytes, Schedule] = OrderedDict()


def key_of(schedule: Schedule) -> bytes | None:
    """Return under what a schedule is remembered; None where it may be judged otherwise later."""
    if (
        not isinstance(schedule.cron, str)
        or schedule.every is not UNSET
        or schedule.at is not UNSET
    ):
        return None
    drawn = "h" in schedule.cron.lower() or schedule.spread != "0s"
    if drawn or schedule.exclude or schedule.end is not None:
        return None
    return _ENCODER.encode(schedule)


def find(key: bytes) -> Schedule | None:
    """Return the normal form of a schedule that was judged good."""
    return _good.get(key)


def learn(key: bytes, good: Schedule) -> None:
    """Remember the normal form of a schedule that is good."""
    _good[key] = good
    if len(_good) > KNOWN_MAX:
        _good.popitem(last=False)
