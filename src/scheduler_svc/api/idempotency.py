"""Idempotency-Key: a request that creates is made once, however often it is sent.

Promises that the first answer is written in the transaction of its effect, so that a crash leaves
both or neither; that nobody waits for a request in progress; and that what was refused or failed
uses no key up. Handlers begin their writing transaction with `writing` and end it with `keep`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256

from msgspec import structs
from starlette.datastructures import Headers

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.replies import encoded
from scheduler_svc.api.route import Route
from scheduler_svc.domain.errors import Fault, IdempotencyInProgress, IdempotencyReused, Invalid
from scheduler_svc.store import idempotency
from scheduler_svc.store.idempotency import KeptAnswer, Token
from scheduler_svc.store.pool import CALL_SECONDS, Connection, connection, transaction

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY_MAX = 255
LONG_BODY = 256 * 1024
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class _Replayed(Exception):
    """The key was answered before: the handler goes no further."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("answered before")
        self.reply = reply


def answered(route: Route, call: Call) -> Awaitable[Reply]:
    """Answer a request: by its handler, or as it was answered before under the same key."""
    key = _read_key(call.headers) if route.takes_key else None
    return route.handler(call) if key is None else _once(route, call, key)


async def _once(route: Route, call: Call, key: str) -> Reply:
    token = Token(
        namespace=call.namespace,
        credential=call.caller.id,
        key=key,
        request=await _digest(call),
    )
    call = structs.replace(call, token=token)
    try:
        # Before the handler, for what was good then may be refused by now: an instant has passed.
        async with connection(call.deps.pool) as conn:
            await _look(conn, call, token)
        return await route.handler(call)
    except _Replayed as before:
        return before.reply


def writing(
    call: Call, *, seconds: float = CALL_SECONDS, alone: bool = False
) -> AbstractAsyncContextManager[Connection]:
    """Open the transaction of a request's effect, under its key where it has one.

    `alone` says that one statement is the whole effect: without a key it is its own transaction.
    Raises IdempotencyInProgress where another request holds the key.
    """
    if alone and call.token is None:
        return connection(call.deps.pool, seconds=seconds)
    return _in_transaction(call, seconds)


@asynccontextmanager
async def _in_transaction(call: Call, seconds: float) -> AsyncIterator[Connection]:
    async with transaction(call.deps.pool, seconds=seconds) as conn:
        if call.token is not None:
            if not await idempotency.try_lock(conn, call.token):
                raise IdempotencyInProgress(
                    "A request with this key is in progress; repeat it in a moment."
                )
            await _look(conn, call, call.token)
        yield conn


async def keep(conn: Connection, call: Call, reply: Reply) -> Reply:
    """Keep the answer beside its effect, and return it as it will be sent."""
    if call.token is None:
        return reply
    answer = KeptAnswer(
        request=call.token.request,
        status=reply.status,
        headers=reply.headers,
        media_type=reply.media_type,
        body=encoded(reply.body),
    )
    await idempotency.keep(conn, call.token, answer, now_ms=call.deps.now_ms())
    return structs.replace(reply, body=answer.body)


async def _look(conn: Connection, call: Call, token: Token) -> None:
    """Raise _Replayed for the same request again, IdempotencyReused for another one."""
    found = await idempotency.find(conn, token, now_ms=call.deps.now_ms())
    if found is None:
        return
    if found.request != token.request:
        raise IdempotencyReused(
            "This key was used for a request with another method, path, query or body;"
            " use a new key for a new request."
        )
    raise _Replayed(
        Reply(
            status=found.status,
            body=found.body,
            headers={**found.headers, REPLAYED: "true"},
            media_type=found.media_type,
        )
    )


def _read_key(headers: Headers) -> str | None:
    """Return the key as it was given; raise Invalid where it is none."""
    given = headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1:
        raise _fault("may be given only once")
    if len(given[0]) > KEY_MAX:
        raise _fault(f"has {len(given[0])} characters; at most {KEY_MAX} are allowed")
    if not _KEY.fullmatch(given[0]):
        raise _fault("must be 1 to 255 printable ASCII characters, such as a UUID")
    return given[0]


def _fault(detail: str) -> Invalid:
    return Invalid([Fault("", detail, parameter=HEADER)])


async def _digest(call: Call) -> bytes:
    """Tell one request from another; lengths go before texts, so that none runs into the next."""
    drawn = sha256()
    for part in (call.method, call.url_path, call.query_string):
        text = part.encode("utf-8", "surrogateescape")
        drawn.update(len(text).to_bytes(8, "big") + text)
    # A long body is digested beside the loop, which also fires timers.
    if len(call.body) > LONG_BODY:
        await asyncio.to_thread(drawn.update, call.body)
    else:
        drawn.update(call.body)
    return drawn.digest()
