"""Going away so that a load balancer notices: answering on for a while, each answer the last.

Promises that after the order to stop each answer says `Connection: close`, so that no proxy sends a
request on a connection that is about to end. Readiness fails meanwhile (`readiness`), new
connections are still taken until the time is over.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSE = (b"connection", b"close")


class Farewell:
    """The application, with each answer the last of its connection once it is told to stop."""

    def __init__(self, app: ASGIApp, stop: asyncio.Event) -> None:
        self._app, self._stop = app, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._stop.is_set():
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await self._app(scope, receive, last)
