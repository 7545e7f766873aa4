"""The HTTP server: uvicorn's, on a socket that is given, without its signals and its words.

Promises that a handshake has HANDSHAKE_SECONDS, and that nothing is told of what we are made of.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from scheduler_svc.service.certificate import Certificate
from scheduler_svc.service.connection import Bounds, Connection, Doors

SERVER_GRACE_SECONDS = 5
BACKLOG = 2048
HANDSHAKE_SECONDS = 10.0


class Server(uvicorn.Server):
    """A server that leaves the signals to us.

    Its own handling re-raises them when it returns, which kills the process before the engine has
    drained.
    """

    def __init__(
        self, app: ASGIApp, certificate: Certificate | None, bounds: Bounds | None = None
    ) -> None:
        super().__init__(_config(app))
        self._certificate = certificate
        self._doors = Doors(bounds or Bounds())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the sockets: uvicorn's own way would give handshakes a minute."""
        loop = asyncio.get_running_loop()
        await self.lifespan.startup()

        def made() -> Connection:
            return Connection(self.config, self.server_state, self.lifespan.state, self._doors)

        secure = self._certificate
        self.servers = [
            await loop.create_server(
                made,
                sock=one,
                backlog=BACKLOG,
                ssl=None if secure is None else secure.context,
                ssl_handshake_timeout=None if secure is None else HANDSHAKE_SECONDS,
            )
            for one in sockets or ()
        ]
        self.started = True


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # Starlette's own type is narrower than ASGI's
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Ours is api/forwarded.py: that of uvicorn believes loopback unless told otherwise.
        proxy_headers=False,
        timeout_graceful_shutdown=SERVER_GRACE_SECONDS,
        backlog=BACKLOG,
    )
