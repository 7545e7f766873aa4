"""A load balancer in little: it ends TLS, asks for a certificate, and passes on what is said."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from pem import ca_of, chain_of, key_of

Taking = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Balancer:
    """Where it is, and files of who trusts whom: `both` has certificate and key in one."""

    url: str
    ca: Path
    cert: Path
    key: Path
    both: Path
    strange: Path
    """A certificate with its key of an authority that it does not know."""


@asynccontextmanager
async def a_balancer(
    address: str, folder: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[Balancer]:
    """Stand before a service until the block ends; lets in who comes with a certificate of ours."""
    own, theirs = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.issue_cert("127.0.0.1").configure_cert(context)
    theirs.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = newest
    server = await asyncio.start_server(_passing(address), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield _with_files(f"https://127.0.0.1:{port}", folder, own, theirs)


def _with_files(url: str, folder: Path, own: trustme.CA, theirs: trustme.CA) -> Balancer:
    caller, stranger = theirs.issue_cert("caller"), trustme.CA().issue_cert("stranger")
    texts = {
        "ca.pem": ca_of(own),
        "caller.pem": chain_of(caller),
        "caller.key": key_of(caller),
        "both.pem": key_of(caller) + chain_of(caller),
        "strange.pem": key_of(stranger) + chain_of(stranger),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return Balancer(url, *(folder / name for name in texts))


def _passing(address: str) -> Taking:
    place = urlsplit(address)

    async def passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(place.hostname, place.port)
        pumps = [asyncio.ensure_future(_pump(*way)) for way in ((reader, forth), (back, writer))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for one in pumps:
            one.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        writer.transport.abort()
        forth.transport.abort()

    return passing


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
