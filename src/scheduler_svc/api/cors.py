"""Pages of other origins that may use this API: those of a list, each by its exact name.

Promises that no other origin reads an answer, that a page never sends our cookie along (there is no
`Access-Control-Allow-Credentials`), and `Vary: Origin` on every answer where there is a list.
Without a list it is not there at all.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler_svc.api.answer import TOLD
from scheduler_svc.api.context import Reply
from scheduler_svc.api.fields import FIELDS
from scheduler_svc.api.replies import send_reply

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
TAKEN = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID,"
    " Scheduler-Namespace, X-Request-ID, traceparent, tracestate"
)
SHOWN = (
    "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After,"
    " WWW-Authenticate, X-Request-ID"
)
REMEMBERED_SECONDS = 600


class Cors:
    """Answers preflights of listed origins, and lets their pages read answers."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app = app
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, told = scope[FIELDS], scope[TOLD]
        told["Vary"] = "Origin"
        origin = headers.get("origin")
        if origin is None or origin not in self.origins:
            await self.app(scope, receive, send)
            return
        told["Access-Control-Allow-Origin"] = origin
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await send_reply(_preflight(), send)
            return
        told["Access-Control-Expose-Headers"] = SHOWN
        await self.app(scope, receive, send)


def _preflight() -> Reply:
    return Reply(
        status=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": TAKEN,
            "Access-Control-Max-Age": str(REMEMBERED_SECONDS),
            "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        },
    )
