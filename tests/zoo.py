"""All targets that misbehave, in one place: where each is called, and what is promised of it."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import trustme

from misbehaving import FAULTS, ODDITIES, deaf, hasty
from receiver import Receiver, answer, receiving
from scheduler_svc.delivery.exchange import Exchange, HttpRequest
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from sending import call, sending

NAME = "ok.example"
INSIDE = "127.0.0.2"
AUTHORITY, STRANGER = trustme.CA(), trustme.CA()
NOT_RETRIED = {"ok", "blocked"}
HANGING = "hanging.example"


@dataclass
class Zoo:
    """A sender that may reach the loopback, and the targets, opened when they are first called."""

    stack: AsyncExitStack
    sender: Sender
    plain: Receiver
    inside: Receiver
    cases: "dict[str, Case]"
    partings: "count[int]"
    limits: dict[str, Any]
    opened: dict[str, Receiver] = field(default_factory=dict)

    async def tls(self, kind: str) -> Receiver:
        """A receiver with a certificate of a kind."""
        if kind not in self.opened:
            context = CERTIFICATES[kind]()
            self.opened[kind] = await self.stack.enter_async_context(receiving(tls=context))
        return self.opened[kind]

    async def raw(self, kind: str) -> int:
        """The port of a listener that does not even read."""
        if kind not in self.opened:
            server = await asyncio.start_server(LISTENERS[kind], "127.0.0.1", 0)
            self.stack.callback(server.close)
            self.opened[kind] = Receiver(port=server.sockets[0].getsockname()[1])
        return self.opened[kind].port

    async def send(self, name: str) -> Exchange:
        """Make the call of a case."""
        request = await self.cases[name].request(self)
        return await self.sender.send(request)


Request = Callable[[Zoo], Any]


@dataclass(frozen=True)
class Case:
    """How a target misbehaves, and what comes of it."""

    request: Request
    outcomes: tuple[str, ...]
    statuses: tuple[int | None, ...] = (None,)
    error: str = ""
    truncated: bool = False

    def judge(self, name: str, exchange: Exchange) -> None:
        """Fail where an exchange is not the promised one."""
        told = (exchange.outcome, exchange.status_code, exchange.error)
        assert exchange.outcome in self.outcomes, (name, told)
        assert exchange.status_code in self.statuses, (name, told)
        assert self.error in (exchange.error or ""), (name, told)
        assert exchange.truncated is self.truncated, (name, told)
        assert (exchange.error is None) == (exchange.outcome == "ok"), (name, told)


def _server(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def _expired() -> ssl.SSLContext:
    ended = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    begun = ended - dt.timedelta(days=1)
    return _server(AUTHORITY.issue_cert(NAME, not_before=begun, not_after=ended))


def _old() -> ssl.SSLContext:
    context = _server(AUTHORITY.issue_cert(NAME))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # that it is old is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


CERTIFICATES: dict[str, Callable[[], ssl.SSLContext]] = {
    "expired": _expired,
    "wrong name": lambda: _server(AUTHORITY.issue_cert("other.example")),
    "name in CN only": lambda: _server(
        AUTHORITY.issue_cert("other.example", common_name=NAME),
    ),
    "stranger": lambda: _server(STRANGER.issue_cert(NAME)),
    "old": _old,
}


async def _stalled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side goes."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass
    writer.transport.abort()


async def _slammed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _garbled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await _stalled(reader, writer)


LISTENERS = {"stalls": _stalled, "slams": _slammed, "garbles": _garbled}


PARTING = {"answers before it has read the request", "says it keeps the connection and closes it"}


def _on_wire(name: str, **changes: Any) -> Request:
    async def request(zoo: Zoo) -> HttpRequest:
        # A connection that ends although it was to be kept costs the next call on it an attempt
        # (`test_reuse` has that): here each is alone on its own.
        own = {"partition": f"alone {next(zoo.partings)}"} if name in PARTING else {}
        url = zoo.plain.url(f"/{name.replace(' ', '-')}")
        return call(url, **{**zoo.limits, **own, **changes})

    return request


def _to(url: str, **changes: Any) -> Request:
    """Call an address in which `{port}` is the plain receiver's."""

    async def request(zoo: Zoo) -> HttpRequest:
        return call(url.format(port=zoo.plain.port), **{**zoo.limits, **changes})

    return request


def _secured(kind: str) -> Request:
    async def request(zoo: Zoo) -> HttpRequest:
        receiver = await zoo.tls(kind)
        return call(f"https://{NAME}:{receiver.port}/", **zoo.limits)

    return request


def _at(kind: str) -> Request:
    async def request(zoo: Zoo) -> HttpRequest:
        return call(f"https://{NAME}:{await zoo.raw(kind)}/", **zoo.limits)

    return request


def _redirected(name: str, *locations: str, redirects: int = 3) -> Request:
    """Call what redirects to `locations`, where `{port}` is the plain receiver's."""

    async def request(zoo: Zoo) -> HttpRequest:
        path = f"/{name.replace(' ', '-')}"
        headers = {
            "Location" if not place else "LOCATION": location.format(port=zoo.plain.port, path=path)
            for place, location in enumerate(locations)
        }
        zoo.plain.on(path, answer(302, b"", headers))
        return call(zoo.plain.url(path), redirects=redirects, **zoo.limits)

    return request


async def _refused(zoo: Zoo) -> HttpRequest:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return call(f"http://127.0.0.1:{port}/", **zoo.limits)


async def _ipv6(zoo: Zoo) -> HttpRequest:
    if "ipv6" not in zoo.opened:
        zoo.opened["ipv6"] = await zoo.stack.enter_async_context(receiving(host="::1"))
    return call(f"http://six.example:{zoo.opened['ipv6'].port}/", **zoo.limits)


HIDDEN = "the address of this name may not be called"
NAMES: dict[str, Sequence[str]] = {
    NAME: ["127.0.0.1"],
    "six.example": ["::1"],
    "private.example": ["10.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "mixed.example": ["127.0.0.1", "10.0.0.1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "crowded.example": [*["127.0.0.1"] * 499, "10.0.0.1"],
    "empty.example": [],
}
ELSEWHERE: dict[str, Case] = {
    "has a name that does not exist": Case(
        _to("http://nowhere.example/"), ("connect_error",), error="name not found"
    ),
    "has a name without addresses": Case(
        _to("http://empty.example/"), ("connect_error",), error="name not found"
    ),
    "has a name server that never answers": Case(
        _to(f"http://{HANGING}/"), ("timeout",), error="before the connection"
    ),
    "has a name that leads inside": Case(
        _to("http://private.example/"), ("blocked",), error=HIDDEN
    ),
    "has a name that leads to metadata": Case(
        _to("http://metadata.example/"), ("blocked",), error=HIDDEN
    ),
    "has a name with one address inside": Case(
        _to("http://mixed.example:{port}/"), ("blocked",), error=HIDDEN
    ),
    "has a name with a mapped address inside": Case(
        _to("http://mapped.example/"), ("blocked",), error=HIDDEN
    ),
    "has a name with a NAT64 address inside": Case(
        _to("http://nat64.example/"), ("blocked",), error=HIDDEN
    ),
    "hides one address inside among five hundred": Case(
        _to("http://crowded.example:{port}/"), ("blocked",), error=HIDDEN
    ),
    # Judged and dialled as one: never the address that was not judged.
    "has a name that changes from look-up to look-up": Case(
        _to("http://rebinding.example:{port}/"), ("ok", "blocked"), (200, None)
    ),
    "has an IPv6 address alone": Case(_ipv6, ("ok",), (200,)),
    "does not listen": Case(_refused, ("connect_error",), error="connection refused"),
    "stalls in the TLS handshake": Case(_at("stalls"), ("timeout",), error="before the connection"),
    "hangs up in the TLS handshake": Case(_at("slams"), ("connect_error",)),
    "answers a TLS hello in plain HTTP": Case(_at("garbles"), ("tls_error",), error="TLS failed"),
    "has an expired certificate": Case(_secured("expired"), ("tls_error",), error="expired"),
    "has a certificate for another host": Case(
        _secured("wrong name"), ("tls_error",), error="certificate not accepted"
    ),
    "has its name in the common name only": Case(
        _secured("name in CN only"), ("tls_error",), error="certificate not accepted"
    ),
    "has a certificate that nobody we trust signed": Case(
        _secured("stranger"), ("tls_error",), error="certificate not accepted"
    ),
    # OpenSSL may hang up instead of sending its alert.
    "speaks TLS 1.1 at most": Case(_secured("old"), ("tls_error", "connect_error")),
    "never reads the request": Case(
        _on_wire("never reads the request", body=bytes(1 << 18)), ("timeout",), error="first byte"
    ),
    "redirects inside": Case(_redirected("redirects inside", "http://10.0.0.1/"), ("blocked",)),
    "redirects to metadata": Case(
        _redirected("redirects to metadata", "http://169.254.169.254/latest/"), ("blocked",)
    ),
    "redirects to a name that leads inside": Case(
        _redirected("redirects to a name that leads inside", "http://private.example/"),
        ("blocked",),
        error=HIDDEN,
    ),
    "redirects to a file": Case(
        _redirected("redirects to a file", "file:///etc/passwd"), ("blocked",), error="redirect"
    ),
    "redirects two ways at once": Case(
        _redirected("redirects two ways at once", "/a", "/b"), ("blocked",), error="redirect"
    ),
    "redirects to itself for ever": Case(
        _redirected("redirects to itself for ever", "{path}", redirects=5), ("ok",), (302,)
    ),
}


def _cases() -> dict[str, Case]:
    cases = {
        name: Case(_on_wire(name), (outcome,), (status,), error)
        for name, (_, outcome, status, error) in FAULTS.items()
    }
    for name, (_, status, truncated) in ODDITIES.items():
        body = {"body": bytes(1 << 18)} if ODDITIES[name][0] is hasty else {}
        cases[name] = Case(_on_wire(name, **body), ("ok",), (status,), truncated=truncated)
    return cases | ELSEWHERE


CASES = _cases()


@asynccontextmanager
async def opened(folder: Path, *, seconds: float = 0.3, **settings: Any) -> AsyncIterator[Zoo]:
    """Open the zoo: each phase of a call may take so long."""
    ca_file = folder / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(ca_file)
    hang = threading.Event()
    asked = iter(range(1 << 30))

    def resolve(host: str) -> Sequence[str]:
        if host == "rebinding.example":
            return ["127.0.0.1"] if next(asked) % 2 == 0 else [INSIDE]
        if host == HANGING:
            hang.wait(20)
        if host not in NAMES:
            raise OSError(-2, "Name or service not known")
        return NAMES[host]

    rules = EgressRules.parse(allow=["127.0.0.1", "::1"])
    given = {"egress": rules, "resolver": resolve, "ca_file": str(ca_file), **settings}
    async with AsyncExitStack() as stack:
        stack.callback(hang.set)
        plain = await stack.enter_async_context(receiving())
        inside = await stack.enter_async_context(receiving(host=INSIDE, port=plain.port))
        sender = await stack.enter_async_context(sending(**given))
        limits = {
            "connect_timeout": seconds,
            "first_byte_timeout": seconds * 0.8,
            "total_timeout": seconds,
        }
        zoo = Zoo(stack, sender, plain, inside, CASES, count(), limits)
        for name, behaviour in _behaviours():
            plain.on(f"/{name.replace(' ', '-')}", behaviour)
        plain.early |= {"/never-reads-the-request", "/answers-before-it-has-read-the-request"}
        yield zoo


def _behaviours() -> Any:
    yield from ((name, fault[0]) for name, fault in FAULTS.items())
    yield from ((name, odd[0]) for name, odd in ODDITIES.items())
    yield "never reads the request", deaf


def table() -> str:
    """Render the cases as the markdown table of docs/delivery.md."""
    lines = [
        "| a target that | outcome | status | `error` says | retried |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, case in CASES.items():
        outcome = " or ".join(f"`{one}`" for one in case.outcomes)
        status = " or ".join("-" if one is None else str(one) for one in case.statuses)
        cut = " (`truncated`)" if case.truncated else ""
        if case.outcomes == ("ok",):
            retried = "by status"
        else:
            retried = "no" if set(case.outcomes) <= NOT_RETRIED else "yes"
        lines.append(f"| {name} | {outcome}{cut} | {status} | {case.error} | {retried} |")
    return "\n".join(lines)
