"""The caller's address and scheme as trusted proxies tell them: everything after goes by these.

Promises that headers of anybody else change nothing. Without a listed proxy it is not there at all.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler_svc.domain.access import is_from
from scheduler_svc.domain.forwarded import caller_behind, scheme_behind


class Forwarded:
    """Puts whom a trusted proxy speaks for in place of the proxy."""

    def __init__(self, app: ASGIApp, proxies: tuple[str, ...]) -> None:
        self.app = app
        self.proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if peer is not None and is_from(peer[0], self.proxies):
            said = _said(scope, b"x-forwarded-for")
            found = caller_behind(peer[0], said, self.proxies)
            if found != peer[0]:
                scope["client"] = (found, 0)  # the port is not told
            scope["scheme"] = scheme_behind(_said(scope, b"x-forwarded-proto")) or scope["scheme"]
        await self.app(scope, receive, send)


def _said(scope: Scope, wanted: bytes) -> list[str]:
    return [text.decode("latin-1") for name, text in scope["headers"] if name == wanted]
