"""What can go wrong, as exceptions that carry data: a program goes by type, or by `code`.

    SchedulerError
    |-- Unanswered               nothing whole came back; what became of the request is not known
    |-- Unreadable               what came back is not what this service says
    `-- Problem                  the service says no: its RFC 9457 document
        |-- Invalid              400, 413, 415, 422: the request can not be meant
        |-- Unauthenticated      401
        |-- Forbidden            403
        |-- NotFound             404
        |-- Conflict             409: a name that is taken, a run that is unfinished
        |-- PreconditionFailed   412: it has changed since it was read
        |-- TooMany              429: of requests, or of what a quota counts
        `-- Unavailable          502, 503, 504: for a while

A status without a class of its own is a plain `Problem`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class SchedulerError(Exception):
    """Any error of this package."""


class Unanswered(SchedulerError):
    """No whole answer came, after all attempts; the cause says why of the last."""


class Unreadable(SchedulerError):
    """What answered is no scheduler-svc, or one from which this package is too far away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of a request: where it is in the body, or in which parameter."""

    detail: str
    code: str = ""
    pointer: str | None = None
    parameter: str | None = None


class Problem(SchedulerError):
    """The service refused; `code` is for programs, the text for people."""

    def __init__(
        self, status: int, document: Mapping[str, Any], retry_after: float | None = None
    ) -> None:
        self.status = status
        self.code = _text(document, "code")
        self.title = _text(document, "title")
        self.detail = _text(document, "detail") or self.title or f"status {status}"
        self.request_id = _text(document, "request_id")
        self.errors = tuple(_fault(one) for one in _list(document.get("errors")))
        self.retry_after = retry_after
        """Seconds to wait, where the service said so."""
        super().__init__(self._sentence())

    @property
    def pointer(self) -> str | None:
        """Return where in the body the first fault is, as RFC 6901 writes it."""
        return next((one.pointer for one in self.errors if one.pointer is not None), None)

    def _sentence(self) -> str:
        faults = "; ".join(
            f"{one.pointer or one.parameter or 'the request'}: {one.detail}" for one in self.errors
        )
        known = f"{self.status} {self.code}".strip()
        text = f"{known}: {self.detail}" + (f" {faults}." if faults else "")
        return text + (f" (request {self.request_id})" if self.request_id else "")


class Invalid(Problem):
    """The request can not be meant; `errors` names every fault of it."""


class Unauthenticated(Problem):
    """The key is missing, or opens nothing."""


class Forbidden(Problem):
    """The key has not the scope."""


class NotFound(Problem):
    """It is not there, or not for this key."""


class Conflict(Problem):
    """The state of things forbids it: `name_taken`, `overlap`, `conflict`."""


class PreconditionFailed(Problem):
    """It has changed since it was read."""


class TooMany(Problem):
    """Too many requests (`rate_limited`), or a quota is used up (`quota_exceeded`)."""


class Unavailable(Problem):
    """The service, or what stands before it, can not answer now."""


_CLASSES: Mapping[int, type[Problem]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooMany,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_of(status: int, document: Any, retry_after: float | None = None) -> Problem:
    """Make the exception of a refusal; a body that is no problem document is an empty one."""
    known = document if isinstance(document, dict) else {}
    return _CLASSES.get(status, Problem)(status, known, retry_after)


def _fault(one: Any) -> Fault:
    known = one if isinstance(one, dict) else {}
    return Fault(
        detail=_text(known, "detail"),
        code=_text(known, "code"),
        pointer=_text(known, "pointer") if "pointer" in known else None,
        parameter=_text(known, "parameter") or None,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""
