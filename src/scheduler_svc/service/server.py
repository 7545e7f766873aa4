"""The HTTP server: uvicorn's, on a socket that is given, without its signals and its words.

Promises that a handshake has HANDSHAKE_SECONDS, that nothing is told of what we are made of, and
that nobody who was let in is sent away unheard: at the end the port is closed first, and those
who were let in have `farewell_seconds` to bring their last request.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from scheduler_svc.service.certificate import Certificate
from scheduler_svc.service.connection import Bounds, Connection, Doors, Fields

SERVER_GRACE_SECONDS = 5
BACKLOG = 2048
HANDSHAKE_SECONDS = 10.0


class Dated:
    """The date that every answer has, written once a second and only where somebody asks."""

    def __init__(self) -> None:
        self._second = 0
        self._fields: Fields = []

    def fields(self) -> Fields:
        """Return it as a list of one field."""
        if (second := int(time.time())) != self._second:
            self._second = second
            self._fields = [(b"date", formatdate(second, usegmt=True).encode())]
        return self._fields


class Server(uvicorn.Server):
    """A server that leaves the signals to us.

    Its own handling re-raises them when it returns, which kills the process before the engine has
    drained.
    """

    def __init__(
        self,
        app: ASGIApp,
        certificate: Certificate | None,
        bounds: Bounds | None = None,
        *,
        farewell_seconds: float = 0.0,
    ) -> None:
        super().__init__(_config(app))
        self._certificate = certificate
        self._doors = Doors(bounds or Bounds(), Dated().fields)
        self.farewell_seconds = farewell_seconds
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield

    def end(self) -> None:
        """Serve no longer: close the port, and end as `shutdown` does."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Serve until told to end; uvicorn's own looks ten times a second, and writes the date."""
        await self._ending.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the sockets: uvicorn's own way would give handshakes a minute."""
        loop = asyncio.get_running_loop()
        await self.lifespan.startup()

        self.servers = [
            await loop.create_server(self._made, sock=one, backlog=BACKLOG, **self._secured())
            for one in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, hear those who were let in before, then end as uvicorn does."""
        doors = [one.dup() for one in sockets or ()]
        for server in self.servers:
            server.close()
        for door in doors:
            await self._let_in_the_last(door)
        await asyncio.sleep(self.farewell_seconds)
        await super().shutdown(sockets)

    async def _let_in_the_last(self, door: socket.socket) -> None:
        """Take the connections that the kernel took and we did not, and close the port.

        A caller of one of these may have sent a request already, and could not know what became of
        it. What comes between the last look and the close is some microseconds' worth.
        """
        with door:
            door.settimeout(0)
            last = list(_accepted(door))
        for one in last:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._made, one, **self._secured()
                )

    def _made(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state, self._doors)

    def _secured(self) -> dict[str, Any]:
        if self._certificate is None:
            return {}
        return {"ssl": self._certificate.context, "ssl_handshake_timeout": HANDSHAKE_SECONDS}


def _accepted(door: socket.socket) -> Iterator[socket.socket]:
    """Take what waits at a port until nothing does."""
    while True:
        try:
            yield door.accept()[0]
        except ConnectionAbortedError:
            continue  # that one has gone already
        except OSError:
            return


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # Starlette's own type is narrower than ASGI's
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # `Dated` writes it
        # Ours is api/forwarded.py: that of uvicorn believes loopback unless told otherwise.
        proxy_headers=False,
        timeout_graceful_shutdown=SERVER_GRACE_SECONDS,
        backlog=BACKLOG,
    )
