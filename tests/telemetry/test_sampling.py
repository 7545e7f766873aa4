"""Sampling: fewer lines of what went well, every line of what did not, and no silence about it."""

from typing import Any

from scheduler_svc.domain.events import EventName
from scheduler_svc.telemetry.sampling import Sampled

GOOD, BAD = EventName.RUN_SUCCEEDED, EventName.RUN_FAILED


class Log:
    """Takes what is logged, at a second that stands until it is moved."""

    def __init__(self) -> None:
        self.lines: list[tuple[EventName, dict[str, Any]]] = []
        self.second = 7.0

    def __call__(self, name: EventName, /, **fields: object) -> None:
        self.lines.append((name, dict(fields)))

    def sampled(self, most: int) -> Sampled:
        return Sampled(self, most=most, monotonic=lambda: self.second)

    def count(self, name: EventName) -> int:
        return sum(told == name for told, _ in self.lines)


def test_so_many_successes_a_second_are_logged_and_the_next_second_tells_how_many_not() -> None:
    log = Log()
    tell = log.sampled(3)
    for _ in range(10):
        tell(GOOD)
    assert log.count(GOOD) == 3
    log.second += 1
    tell(GOOD)
    assert log.lines[3:] == [(EventName.LOG_SAMPLED, {"left_out": 7}), (GOOD, {})]


def test_every_failure_is_logged_whatever_the_load() -> None:
    log = Log()
    tell = log.sampled(1)
    for _ in range(5):
        tell(GOOD)
        tell(BAD)
        tell(EventName.API_REQUEST, status=503)
    assert log.count(BAD) == 5
    assert log.count(EventName.API_REQUEST) == 5
    assert log.count(GOOD) == 1


def test_requests_that_were_answered_well_share_the_bound() -> None:
    log = Log()
    tell = log.sampled(2)
    for _ in range(3):
        tell(EventName.API_REQUEST, status=200)
    assert log.count(EventName.API_REQUEST) == 2


def test_without_a_bound_nothing_is_left_out() -> None:
    log = Log()
    tell = log.sampled(0)
    for _ in range(50):
        tell(GOOD)
    assert log.count(GOOD) == 50
