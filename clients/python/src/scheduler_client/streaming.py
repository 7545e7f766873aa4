"""Server-sent events, line by line, by the rules of the HTML standard; no I/O."""

import json
from dataclasses import replace

from scheduler_client.asks import Answer
from scheduler_client.problems import Problem, SchedulerError, Unreadable, problem_of
from scheduler_client.reading import read
from scheduler_client.retrying import MANY, PASSING, Retry, retry_after_of
from scheduler_client.values import Event


class Lines:
    """Makes events of lines, and remembers the id of the last one, to go on after it."""

    def __init__(self, last_event_id: str | None = None) -> None:
        self.last_event_id = last_event_id or ""
        self.heard = False
        """Whether this stream said anything, be it a comment."""
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Event | None:
        """Take a line without its end; return the event that it ends, if it ends one."""
        self.heard = True
        if line == "":
            return self._end()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "id" if "\0" not in value:
                self.last_event_id = value
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case _:
                pass  # a comment, or a field of which this package knows nothing
        return None

    def drop(self) -> None:
        """Forget what was begun: the stream ended within an event."""
        self._name, self._data = "", []

    def _end(self) -> Event | None:
        name, data = self._name, "\n".join(self._data)
        self.drop()
        if not data and not name:
            return None
        try:
            document = json.loads(data or "{}")
        except ValueError:
            raise Unreadable(f"event {name!r}: its data is not JSON") from None
        known = document if isinstance(document, dict) else {}
        said = {"name": name or "message", "event_id": self.last_event_id}
        return replace(read(Event, {**known, **said}), raw=known)


class Passing(Exception):
    """A stream that ended by what may be gone in a moment; `error` is what it is raised as."""

    def __init__(self, error: SchedulerError) -> None:
        super().__init__(str(error))
        self.error = error

    def pause(self, retry: Retry, failures: int) -> float:
        """Return how long to wait before the next stream; raise after too many in a row."""
        if failures >= retry.attempts:
            raise self.error from self
        after = (self.error.retry_after or 0.0) if isinstance(self.error, Problem) else 0.0
        return retry.delay(failures) + min(after, retry.wait_max)


class Turns:
    """When the next stream is opened: soon, less soon the longer nothing is told.

    A stream that was open and ended is no failure, for quiet hours and impatient proxies are none.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._failures = self._ends = 0

    def told(self) -> None:
        """Note that an event came."""
        self._failures = self._ends = 0

    def pause(self, lines: Lines, passing: Passing | None) -> float:
        """Return how long to wait after a stream; raise after too many that were never there."""
        heard, lines.heard = lines.heard, False
        lines.drop()
        if passing is None or heard:
            self._failures = 0
            self._ends += 1
            return self._retry.delay(self._ends)
        self._failures += 1
        return passing.pause(self._retry, self._failures)


def refused(said: Answer) -> Exception:
    """Make the exception of a stream that was not opened."""
    problem = problem_of(said.status, said.body, retry_after_of(said))
    return Passing(problem) if said.status in PASSING | {MANY} else problem
