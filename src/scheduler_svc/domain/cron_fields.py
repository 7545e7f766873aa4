"""The fields of a cron expression: their order, bounds and names.

Promises the tables of the Open Cron Pattern Specification 1.4. Reads no expression.
"""

from typing import Final, NamedTuple

from scheduler_svc.domain.zones import YEAR_MAX, YEAR_MIN

MONTH_NAMES: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
FIVE: Final = 5
"""The fields of a classic expression; more bring seconds first, and then the year last."""
DIGITS_MAX: Final = 4
DAY_NAMES: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Field(NamedTuple):
    """One field: what it is called, its least and greatest value, its names.

    `hash_max` is the greatest value that a bare `H` draws: 28 for days, that no month lacks it;
    `default` stands where an expression leaves the field out.
    """

    name: str
    low: int
    high: int
    hash_max: int
    default: str = "*"
    names: tuple[str, ...] = ()
    first_name: int = 0

    def value_of(self, text: str) -> int | None:
        """Read a number or a name in any case; None for anything else."""
        if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
            return int(text)
        name = text.upper()
        return self.names.index(name) + self.first_name if name in self.names else None

    def text_of(self, value: int) -> str:
        """Write a value as people do: by name where the field has names."""
        if not self.names:
            return str(value)
        return self.names[(value - self.first_name) % len(self.names)]


SECOND: Final = Field("second", 0, 59, 59, default="0")
MINUTE: Final = Field("minute", 0, 59, 59)
HOUR: Final = Field("hour", 0, 23, 23)
DAY: Final = Field("day-of-month", 1, 31, 28)
MONTH: Final = Field("month", 1, 12, 12, names=MONTH_NAMES, first_name=1)
WEEKDAY: Final = Field("day-of-week", 0, 7, 6, names=DAY_NAMES)
YEAR: Final = Field("year", YEAR_MIN, YEAR_MAX, YEAR_MAX)

FIELDS: Final = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR)

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
