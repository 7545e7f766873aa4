"""The tree of refusals: what a caller may be told, as data; the HTTP edge makes sentences of it.

    Refused
    |-- Invalid              values that can not be accepted: all faults at once
    |-- Malformed            the body is not JSON
    |-- NotFound             no such job, run or backfill in the caller's namespace
    |-- Conflict             the state of things forbids it now
    |   |-- NameTaken        another job has that name
    |   |-- Overlapping      the job has an unfinished run and its overlap policy is skip
    |   `-- IdempotencyInProgress   another request with this key has not ended
    |-- Unauthenticated      no credentials, or none that are accepted
    |-- RateLimited          too many requests of one caller
    |-- QuotaExceeded        the namespace has all that it may have of something
    |-- Forbidden            the credentials do not go so far
    |-- IdempotencyReused    the key was used for another request
    |-- PreconditionFailed   If-Match or If-None-Match did not hold
    `-- Unavailable          the database is away; try again later

A failed delivery is not here: it is a value (domain/outcome.py).
"""

from typing import ClassVar, NamedTuple


class Fault(NamedTuple):
    """One thing wrong with a request: where, what, and (in `code`) of which kind."""

    pointer: str
    detail: str
    code: str = "invalid"
    parameter: str | None = None


class Refused(Exception):
    """A request that was understood and turned down."""

    code: ClassVar[str] = "invalid"

    def __init__(self, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults


class Invalid(Refused):
    """Values that can not be accepted; carries every fault found."""

    def __init__(self, faults: list[Fault] | tuple[Fault, ...]) -> None:
        count = len(faults)
        noun = "fault" if count == 1 else "faults"
        super().__init__(f"The request has {count} {noun}.", tuple(faults))


class Malformed(Refused):
    """A body that is not well-formed JSON."""

    code = "malformed_json"


class NotFound(Refused):
    """Nothing of that id or name in the caller's namespace."""

    code = "not_found"


class Conflict(Refused):
    """The state of things forbids the request now."""

    code = "conflict"


class NameTaken(Conflict):
    """Another job of the namespace has that name."""

    code = "name_taken"


class Overlapping(Conflict):
    """The job has an unfinished run and its overlap policy is `skip`."""

    code = "overlap"


class IdempotencyInProgress(Conflict):
    """Another request with this idempotency key has not ended."""

    code = "idempotency_in_progress"


class IdempotencyReused(Refused):
    """The idempotency key was used for a request that differs."""

    code = "idempotency_key_reused"


class Unauthenticated(Refused):
    """No credentials, or none that are accepted; `given` tells which."""

    code = "unauthenticated"

    def __init__(self, detail: str, *, given: bool = False) -> None:
        super().__init__(detail)
        self.given = given


class RateLimited(Refused):
    """Too many requests of one caller; when there may be another, and the fields to say so."""

    code = "rate_limited"

    def __init__(
        self, detail: str, *, limit: str, wait_seconds: float, told: dict[str, str]
    ) -> None:
        super().__init__(detail)
        self.limit = limit
        self.wait_seconds = wait_seconds
        self.told = told


class QuotaExceeded(Refused):
    """The namespace has all that it may have; `wait_seconds` where time alone helps."""

    code = "quota_exceeded"

    def __init__(
        self, detail: str, faults: tuple[Fault, ...] = (), *, wait_seconds: float | None = None
    ) -> None:
        super().__init__(detail, faults)
        self.wait_seconds = wait_seconds


class Forbidden(Refused):
    """Credentials that are accepted and do not go so far."""

    code = "forbidden"


class PreconditionFailed(Refused):
    """The caller's `If-Match` or `If-None-Match` did not hold."""

    code = "precondition_failed"


class Unavailable(Refused):
    """The database is away; nothing was done, or what was done is not known."""

    code = "unavailable"
