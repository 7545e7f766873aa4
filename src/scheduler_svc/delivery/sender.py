"""The HTTP sender: one request in, one Exchange out, and no exception for what a network does.

It keeps connections, dials through the egress guard, holds every phase to its limit and follows
redirects where asked. It never sends a request twice on its own, reads no proxy from the
environment, decompresses nothing and does not judge statuses.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

import msgspec

from scheduler_svc.delivery import egress, tls
from scheduler_svc.delivery.awaited import AwaitedCall
from scheduler_svc.delivery.call import Call
from scheduler_svc.delivery.connection import Connection
from scheduler_svc.delivery.exchange import (
    REDIRECTS_MAX,
    Exchange,
    HttpRequest,
    Timing,
    Way,
    sharing,
)
from scheduler_svc.delivery.origin import Origin, Pool
from scheduler_svc.delivery.redirect import next_hop
from scheduler_svc.delivery.resolve import Directory, Resolver, system_resolver
from scheduler_svc.delivery.trust import Contexts
from scheduler_svc.delivery.wire import serialise
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.url import UrlRefused

TLS_GOODBYE_SECONDS = 1.0
CLOSED = "the sender is closed"


class Sender:
    """All outgoing calls of a process; to be used by one event loop."""

    def __init__(
        self,
        *,
        egress: EgressRules,
        connections_per_origin: int = 64,
        keepalive_seconds: float = 30,
        idle_max: int = 1000,
        head_bytes_max: int = 65536,
        ca_file: str | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._pool = Pool(
            connections_per_origin=connections_per_origin,
            keepalive_seconds=keepalive_seconds,
            idle_max=idle_max,
        )
        self._dialler = _dialler(egress, resolver)
        self._head_bytes_max = head_bytes_max
        self._contexts = Contexts(ca_file)

    def send(self, request: HttpRequest) -> Coroutine[Any, Any, Exchange]:
        """Make the call; a cancelled one closes its connection and raises CancelledError.

        Raises Withheld where the request may not be written any more when it could be.
        """
        if request.redirects:
            return self._follow(request)
        return self._exchange(request, None)

    async def close(self) -> None:
        """End all connections at once, also those in a call, and wait until they are gone."""
        self._pool.close()
        await self._pool.emptied.wait()

    async def _follow(self, request: HttpRequest) -> Exchange:
        """Make the call and those it leads to, all within the first one's total time."""
        began = perf_counter()
        deadline = asyncio.get_running_loop().time() + request.total_timeout
        exchange = await self._exchange(request, deadline)
        for _ in range(min(request.redirects, REDIRECTS_MAX)):
            try:
                following = next_hop(request, exchange)
            except UrlRefused as refused:
                exchange = Exchange("blocked", error=f"redirect refused: it {refused.reason}")
                break
            if following is None:
                break
            request = following
            exchange = await self._exchange(request, deadline)
        return msgspec.structs.replace(exchange, duration_ms=(perf_counter() - began) * 1000)

    async def _exchange(self, request: HttpRequest, deadline: float | None) -> Exchange:
        loop = asyncio.get_running_loop()
        payload = serialise(request)
        call = AwaitedCall(request, payload or b"", deadline, loop)
        if payload is None:
            return call.failed("blocked", "the method or a header can not be sent as it is")
        origin = self.origin(_key(request), loop)
        if origin is None:
            return call.failed("connect_error", CLOSED)
        must_dial = origin.submit(call)
        while True:
            if must_dial:
                failure = await self.dial(origin, request, call)
                if failure is not None:
                    return failure
            try:
                exchange = await call.future
            except asyncio.CancelledError:
                withdraw(call)
                if call.connection is None and call.has_slot:
                    origin.release()
                raise
            if exchange is not None:
                return exchange
            call.future = loop.create_future()
            must_dial = True

    def origin(self, key: object, loop: asyncio.AbstractEventLoop) -> Origin | None:
        """Return where calls of this key are submitted; None where the sender is closed."""
        pool = self._pool
        return None if pool.closed else pool.origins.get(key) or pool.origin(key, loop)

    async def dial(self, origin: Origin, way: Way, call: Call) -> Exchange | None:
        """Open a connection in the slot that the call holds and start there, or say what failed."""
        loop = asyncio.get_running_loop()
        limit = min(loop.time() + way.connect_timeout, call.deadline)
        try:
            async with asyncio.timeout_at(limit):
                connection = await self._connect(origin, way, call, loop)
        except egress.Undialled as fault:
            failure = call.failed(fault.outcome, fault.error)
        except TimeoutError:
            failure = call.failed("timeout", "time limit reached before the connection was made")
        except ssl.SSLError as fault:
            failure = call.failed("tls_error", tls.reason(fault))
        except OSError as fault:
            failure = call.failed("connect_error", egress.reason(fault))
        except BaseException:
            origin.release()
            raise
        else:
            connection.start(call)
            return None
        origin.release()
        return failure

    async def _connect(
        self, origin: Origin, way: Way, call: Call, loop: asyncio.AbstractEventLoop
    ) -> Connection:
        url = way.url
        dialled = await self._dialler.dial(url, way.egress)
        call.dial_timing = Timing(dns_ms=dialled.dns_ms, connect_ms=dialled.connect_ms)
        connection = Connection(loop, origin, self._head_bytes_max)
        began = perf_counter()
        secured = url.scheme == "https"
        name = url.host if way.tls is None else way.tls.server_name or url.host
        try:
            context = await self._contexts.context(way.tls) if secured else None
            await loop.create_connection(
                lambda: connection,
                sock=dialled.socket,
                ssl=context,
                server_hostname=name if secured else None,
                ssl_handshake_timeout=way.connect_timeout if secured else None,
                ssl_shutdown_timeout=TLS_GOODBYE_SECONDS if secured else None,
            )
        except BaseException:
            dialled.socket.close()
            raise
        self._pool.add(connection)
        if self._pool.closed:  # while this was being dialled
            connection.close(polite=False)
            raise egress.Undialled("connect_error", CLOSED)
        if secured:
            tls_ms = (perf_counter() - began) * 1000
            call.dial_timing = msgspec.structs.replace(call.dial_timing, tls_ms=tls_ms)
        return connection


def _dialler(rules: EgressRules, resolver: Resolver) -> egress.Dialler:
    return egress.Dialler(rules, Directory(resolver))


def _key(request: HttpRequest) -> object:
    return sharing(request.url, request.partition, request.tls, request.egress)


def withdraw(call: Call) -> None:
    """Leave no connection of a cancelled call; its place in the line, empty, goes in its turn."""
    call.payload = b""
    if call.connection is not None:
        call.connection.abandon(call)
