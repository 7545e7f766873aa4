"""Who knocked before the port was closed is heard, though nobody had opened yet."""

import asyncio
import socket

from starlette.types import Receive, Scope, Send

from scheduler_svc.service.server import Server

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_connection_that_only_the_kernel_has_taken_is_answered() -> None:
    server = Server(hello, None, farewell_seconds=0.5)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as caller:
        await server.startup([listening])
        # Without a turn of the loop in between, so that nobody takes the connection.
        caller.connect(listening.getsockname())
        caller.sendall(REQUEST)
        await server.shutdown([listening])
        caller.setblocking(False)
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(caller, 4096), 10)
    assert answer.startswith(b"HTTP/1.1 204 ")
