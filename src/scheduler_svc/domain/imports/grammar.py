"""How each system writes cron fields: tables that the reader of fields goes by.

Promises data alone. Sources: Debian's and cronie's crontab(5), the documentation and source of
robfig/cron v3 (Kubernetes, Dkron), of Cloud Scheduler, of EventBridge, and of APScheduler 3.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from scheduler_svc.domain.cron_fields import DAY_NAMES, MONTH_NAMES, NICKNAMES

Days = Literal["star_begins", "star_anywhere", "question", "both"]
"""What both day fields mean: `star_begins` and `star_anywhere` say which field is unrestricted, and
then both must match, else either is enough; `question` has one of them; `both` asks for both."""


class Field(NamedTuple):
    """One field as a system writes it: bounds, names, and for weekdays the number of Sunday."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first_name: int = 0
    sunday: int = 0


class Grammar(NamedTuple):
    """A system's cron: its fields in order, and what may stand in them."""

    system: str
    fields: tuple[Field, ...]
    days: Days
    question: bool = False
    """`?` stands for `*`."""
    open_step: bool = False
    """`5/15` goes on to the end of the field."""
    quartz: bool = False
    """`L`, `W` and `#`."""
    random: bool = False
    """`5~20` is drawn when the table is read."""
    positions: bool = False
    """`last` and `2nd fri` among the days of the month."""
    nicknames: Mapping[str, str] = MappingProxyType({})


_SECOND: Final = Field("second", 0, 59)
_MINUTE: Final = Field("minute", 0, 59)
_HOUR: Final = Field("hour", 0, 23)
_DAY: Final = Field("day", 1, 31)
_MONTH: Final = Field("month", 1, 12, MONTH_NAMES, 1)
_WEEKDAY: Final = Field("weekday", 0, 6, DAY_NAMES)
_WEEKDAY_TO_7: Final = Field("weekday", 0, 7, DAY_NAMES)
_YEAR: Final = Field("year", 1970, 2199)
_FIVE: Final = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)

CRONTAB: Final = Grammar(
    "cron",
    (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY_TO_7),
    "star_begins",
    random=True,
    nicknames=NICKNAMES,
)
KUBERNETES: Final = Grammar(
    "Kubernetes",
    _FIVE,
    "star_anywhere",
    question=True,
    open_step=True,
    nicknames=NICKNAMES,
)
DKRON: Final = Grammar(
    "Dkron",
    (_SECOND, *_FIVE),
    "star_anywhere",
    question=True,
    open_step=True,
    nicknames={
        **{name: f"0 {text}" for name, text in NICKNAMES.items()},
        "@minutely": "0 * * * * *",
    },
)
CLOUD_SCHEDULER: Final = Grammar(
    "Cloud Scheduler", (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY_TO_7), "star_begins"
)
EVENTBRIDGE: Final = Grammar(
    "EventBridge",
    (_MINUTE, _HOUR, _DAY, _MONTH, Field("weekday", 1, 7, DAY_NAMES, 1, sunday=1), _YEAR),
    "question",
    question=True,
    open_step=True,
    quartz=True,
)
APSCHEDULER: Final = Grammar(
    "APScheduler",
    (
        Field("year", 1970, 9999),
        Field("month", 1, 12, MONTH_NAMES, 1),
        _DAY,
        Field("weekday", 0, 6, (*DAY_NAMES[1:], DAY_NAMES[0]), 0, sunday=6),
        _HOUR,
        _MINUTE,
        _SECOND,
    ),
    "both",
    open_step=True,
    positions=True,
)
