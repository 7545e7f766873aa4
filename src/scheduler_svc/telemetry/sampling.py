"""Fewer lines under load: of what went well, so many a second are logged, and the rest is counted.

Promises every line of what did not go well, whatever the load; metrics count all of it anyway.
"""

from collections.abc import Callable

from scheduler_svc.domain.events import EventName, OnEvent

REFUSED = 400


class Sampled:
    """Passes events to the log, at most so many successes a second; 0 passes all."""

    def __init__(self, log: OnEvent, *, most: int, monotonic: Callable[[], float]) -> None:
        self._log, self._most, self._monotonic = log, most, monotonic
        self._second, self._told, self._left_out = 0, 0, 0

    def __call__(self, name: EventName, /, **fields: object) -> None:
        if self._most and _went_well(name, fields) and not self._room():
            self._left_out += 1
            return
        self._log(name, **fields)

    def _room(self) -> bool:
        """Count one against this second; at the first of a new one tell what the last left out."""
        second = int(self._monotonic())
        if second != self._second:
            if self._left_out:
                self._log(EventName.LOG_SAMPLED, left_out=self._left_out)
            self._second, self._told, self._left_out = second, 0, 0
        self._told += 1
        return self._told <= self._most


def _went_well(name: EventName, fields: dict[str, object]) -> bool:
    if name is EventName.API_REQUEST:
        status = fields["status"]
        return isinstance(status, int) and status < REFUSED
    return name is EventName.RUN_SUCCEEDED
