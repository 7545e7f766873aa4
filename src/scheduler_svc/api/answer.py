"""The headers of every answer, whatever it is: our id for the request, and what browsers must keep.

Promises that a handler's own value of a header wins, and Strict-Transport-Security only where the
request came over TLS, by our own port or by the word of a trusted proxy.
"""

from http import HTTPStatus

from starlette.types import Message, Scope, Send

TOLD = "scheduler.told"
"""Where headers lie that are known before there is an answer: limits, and what CORS allows."""
ALWAYS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class Answer:
    """Passes an answer on with the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send, scope: Scope, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._told: dict[str, str] = {}
        self._over_tls = scope["scheme"] == "https" and not _is_localhost(scope)
        scope[TOLD] = self._told
        self.started = False
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message = {**message, "headers": self._complete(list(message.get("headers", ())))}
        await self._send(message)

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        have = {name for name, _ in headers}
        more = [(b"x-request-id", self._request_id.encode())]
        more += [(name.lower().encode(), text.encode()) for name, text in self._told.items()]
        more += ALWAYS
        if self._over_tls:
            more.append(TRANSPORT)
        return headers + [header for header in more if header[0] not in have]


def _is_localhost(scope: Scope) -> bool:
    """Tell whether the name is localhost: its other ports, in plain HTTP, are not ours to close."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return bool(hosts) and hosts[0].partition(b":")[0].lower() == b"localhost"
