"""What a transaction pooler looks like from inside: start-up parameters dropped, notices unheard.

It stands on a Unix socket before the server and passes everything else on, byte by byte.
"""

import asyncio
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

KEPT = {b"user", b"database", b"application_name", b"client_encoding"}
NOTICE = b"A"
NAME = ".s.PGSQL.5432"


@asynccontextmanager
async def a_pooler(dsn: str) -> AsyncIterator[str]:
    """Yield the address of a pooler before this server."""
    parts = urlsplit(dsn)
    behind = str(Path(parse_qs(parts.query)["host"][0]) / NAME)
    with tempfile.TemporaryDirectory(prefix="pooler-") as folder:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to_server, from_server = None, None
            try:
                from_server, to_server = await asyncio.open_unix_connection(behind)
                to_server.write(await _startup(reader))
                async with asyncio.TaskGroup() as both:
                    both.create_task(_up(reader, to_server))
                    both.create_task(_down(from_server, writer))
            except* (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                for end in (writer, to_server):
                    if end is not None:
                        end.close()

        server = await asyncio.start_unix_server(serve, Path(folder) / NAME)
        yield urlunsplit(parts._replace(query=f"host={quote(folder)}&port=5432"))
        server.close()


async def _startup(reader: asyncio.StreamReader) -> bytes:
    """Read the start-up message and leave out what a pooler ignores."""
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    body = await reader.readexactly(length - 4)
    words = body[4:].split(b"\0")
    pairs = zip(words[0::2], words[1::2], strict=False)
    kept = b"".join(name + b"\0" + value + b"\0" for name, value in pairs if name in KEPT)
    return struct.pack("!i", 4 + 4 + len(kept) + 1) + body[:4] + kept + b"\0"


async def _up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] != NOTICE:
                writer.write(head + body)
    writer.close()
