"""Refusals and errors as RFC 9457 problem documents: the one place that makes them.

    Refused (domain/errors.py)
    |-- TooLarge               the body is longer than the operation takes
    |-- UnsupportedMediaType   the body is not of a type, or coding, that the operation takes
    |-- MethodNotAllowed       the path is there, not for this method; says for which
    `-- Misdirected            asked for by a name that is not ours (DNS rebinding)

Promises one `code` for each kind, the same status for the same code, all faults of a request, and
nothing about the inside of the service. One code has two: `quota_exceeded` is 429 where something
is used up, and 422 where this request can never be within the quota.
"""

from collections.abc import Iterable
from http import HTTPStatus

from msgspec import UNSET, Struct, UnsetType

from scheduler_svc.api.context import Reply
from scheduler_svc.api.ratelimit_fields import retry_after
from scheduler_svc.domain.errors import (
    Fault,
    Invalid,
    QuotaExceeded,
    RateLimited,
    Refused,
    Unauthenticated,
)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 2
CHALLENGE = 'Bearer realm="scheduler-svc"'
NOT_ACCEPTED = ', error="invalid_token"'  # RFC 6750, 3.1

TITLES: dict[str, str] = {
    "malformed_json": "The body is not JSON",
    "invalid": "The request is not valid",
    "unknown_field": "The request has unknown fields",
    "read_only": "The request sets read-only fields",
    "unsupported_media_type": "The media type is not supported",
    "too_large": "The body is too large",
    "not_found": "Not found",
    "method_not_allowed": "The method is not allowed here",
    "conflict": "The state of things forbids it",
    "name_taken": "The name is taken",
    "overlap": "A run is unfinished",
    "precondition_failed": "A precondition does not hold",
    "idempotency_key_reused": "The idempotency key was used for another request",
    "idempotency_in_progress": "A request with this idempotency key is in progress",
    "unauthenticated": "Credentials are needed",
    "forbidden": "Not allowed",
    "rate_limited": "Too many requests",
    "quota_exceeded": "A quota of the namespace does not allow it",
    "unavailable": "The database is away",
    "internal": "An error of the service",
}
STATUSES: dict[str, int] = {
    "malformed_json": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "name_taken": 409,
    "overlap": 409,
    "idempotency_in_progress": 409,
    "precondition_failed": 412,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid": 422,
    "unknown_field": 422,
    "read_only": 422,
    "idempotency_key_reused": 422,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "internal": 500,
    "unavailable": 503,
}


class TooLarge(Refused):
    """A body longer than the operation takes."""

    code = "too_large"


class UnsupportedMediaType(Refused):
    """A body that is not of a type, or coding, that the operation takes."""

    code = "unsupported_media_type"


class MethodNotAllowed(Refused):
    """The path is there, not for this method."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allowed))
        super().__init__(f"{method[:32]} is not allowed here; allowed are {self.allow}.")


class Misdirected(Refused):
    """Asked for by a name that is not ours."""

    code = "forbidden"


class ProblemError(Struct, frozen=True, kw_only=True):
    """One fault: `pointer` (RFC 6901) says where in the body, `parameter` which of the query."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    detail: str
    code: str


class Problem(Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[ProblemError]


def refusal(error: Refused, request_id: str) -> Reply:
    """Make the answer to a refused request."""
    code = code_of(error)
    status = STATUSES["invalid"] if isinstance(error, Invalid) else STATUSES[code]
    if isinstance(error, Misdirected):
        status = HTTPStatus.MISDIRECTED_REQUEST
    reply = _reply(code, status, error.detail, request_id, error.faults)
    if isinstance(error, MethodNotAllowed):
        reply.headers["Allow"] = error.allow
    if isinstance(error, Unauthenticated):
        reply.headers["WWW-Authenticate"] = CHALLENGE + (NOT_ACCEPTED if error.given else "")
    if isinstance(error, RateLimited):
        reply.headers.update(error.told, **{"Retry-After": retry_after(error.wait_seconds)})
    if isinstance(error, QuotaExceeded) and error.wait_seconds is not None:
        reply.headers["Retry-After"] = retry_after(error.wait_seconds)
    if code in {"unavailable", "idempotency_in_progress"}:
        reply.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return reply


def unavailable(request_id: str) -> Reply:
    """Make the answer for a database that is away."""
    detail = "The database does not answer just now. Try again."
    reply = _reply("unavailable", STATUSES["unavailable"], detail, request_id)
    reply.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return reply


def internal(request_id: str) -> Reply:
    """Make the answer for an error of ours: the log has the rest, under the request's id."""
    detail = "The service failed to handle the request. The log has it under the request's id."
    return _reply("internal", STATUSES["internal"], detail, request_id)


def code_of(error: Refused) -> str:
    """Return the code of a refusal: that of its faults where they are of one kind."""
    codes = {fault.code for fault in error.faults}
    return codes.pop() if len(codes) == 1 else error.code


def _reply(
    code: str, status: int, detail: str, request_id: str, faults: tuple[Fault, ...] = ()
) -> Reply:
    problem = Problem(
        type=f"urn:scheduler-svc:problem:{code}",
        title=TITLES[code],
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=[error_of(fault) for fault in faults],
    )
    return Reply(status=status, body=problem, headers={}, media_type=PROBLEM_JSON)


def error_of(fault: Fault) -> ProblemError:
    """Write one fault."""
    if fault.parameter is not None:
        return ProblemError(parameter=fault.parameter, detail=fault.detail, code=fault.code)
    return ProblemError(pointer=fault.pointer, detail=fault.detail, code=fault.code)
