"""receive: prints what arrives and answers as it is told to, judged from raw sockets and by h11."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11

from commands import COMMAND, Program, call, program

POST = (
    b"POST /hook?a=1 HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\nX-Other: unseen\r\n"
    b"Scheduler-Job: j1\r\nWebhook-Id: r1\r\nContent-Length: 5\r\n\r\nhello"
)


@asynccontextmanager
async def receiving(*switches: str) -> AsyncIterator[tuple[Program, int]]:
    """Run the receiver on a free port; yield it with the port."""
    async with program(*COMMAND, "receive", "--port", "0", *switches) as running:
        told = await running.line("listening on")
        yield running, int(told.split("127.0.0.1:")[1].split("/")[0])


async def send(port: int, *requests: bytes) -> list[tuple[int, bytes]]:
    """Send requests over one connection and read as many answers; fewer where it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    parser = h11.Connection(h11.CLIENT)
    answers: list[tuple[int, bytes]] = []
    try:
        for request in requests:
            writer.write(request)
            # h11 reads the answer to what it believes to have sent
            parser.send(h11.Request(method=request.split()[0], target="/", headers=[("Host", "h")]))
            parser.send(h11.EndOfMessage())
            answers.append(await _answer(reader, parser))
            parser.start_next_cycle()
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        pass
    finally:
        writer.close()
    return answers


async def _answer(reader: asyncio.StreamReader, parser: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, b""
    while True:
        event = parser.next_event()
        match event:
            case h11.NEED_DATA:
                parser.receive_data(await asyncio.wait_for(reader.read(65536), 10))
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                return status, body
            case _:
                raise AssertionError(event)


async def test_it_prints_the_request_our_headers_and_the_body() -> None:
    async with receiving() as (running, port):
        assert await send(port, POST) == [(200, b"OK\n")]
        told = await running.line("    hello")
        told = running.output
    assert "POST /hook?a=1  -> 200" in told
    assert "    scheduler-job: j1" in told
    assert "    webhook-id: r1" in told
    assert "    content-type: text/plain" in told
    assert "unseen" not in told


async def test_a_connection_is_kept_and_answers_one_request_after_the_other() -> None:
    bare = b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n"
    chunked = (
        b"PUT /c HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    async with receiving("--json") as (running, port):
        assert await send(port, bare, POST, chunked) == [(200, b""), (200, b"OK\n"), (200, b"OK\n")]
        await running.line('"/c"')
        seen = [json.loads(line) for line in running.lines if line.startswith("{")]
    assert [one["method"] for one in seen] == ["HEAD", "POST", "PUT"]
    assert [one["body"] for one in seen] == ["", "hello", "abcde"]
    assert seen[1]["headers"]["x-other"] == "unseen"
    assert seen[1]["answered"] == "200"


async def test_it_answers_the_status_it_was_told() -> None:
    async with receiving("--status", "503") as (_, port):
        assert await send(port, POST) == [(503, b"Service Unavailable\n")]


async def test_a_status_without_a_body_has_none() -> None:
    async with receiving("--status", "204") as (_, port):
        assert await send(port, POST, POST) == [(204, b""), (204, b"")]


async def test_it_waits_as_long_as_it_was_told_and_prints_before_it_answers() -> None:
    async with receiving("--delay", "700ms") as (running, port):
        started = time.monotonic()
        answer = asyncio.create_task(send(port, POST))
        await running.line("POST /hook")
        assert not answer.done()
        assert await answer == [(200, b"OK\n")]
        assert time.monotonic() - started >= 0.7


async def test_it_hangs_up_when_told() -> None:
    async with receiving("--hang-up") as (running, port):
        assert await send(port, POST) == []
        assert "hang up" in await running.line("POST /hook")


async def test_what_is_no_http_is_answered_400_and_the_receiver_lives_on() -> None:
    async with receiving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01 what is this\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert await send(port, POST) == [(200, b"OK\n")]


async def test_a_body_can_not_drive_the_terminal_and_is_cut() -> None:
    body = b"\x1b[2J" + b"x" * 5000
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with receiving() as (running, port):
        await send(port, request)
        told = await running.line("xxx")
    assert "\x1b" not in told
    assert told.endswith("... and 908 bytes")


async def test_a_body_that_is_no_text_comes_as_base64() -> None:
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd"
    async with receiving("--json") as (running, port):
        await send(port, request)
        assert json.loads(await running.line("{"))["body_base64"] == "//79"


async def test_it_ends_with_0_on_ctrl_c() -> None:
    async with receiving() as (running, _):
        running.tell(signal.SIGINT)
        assert await running.end() == 0


async def test_a_port_in_use_is_told_in_a_sentence() -> None:
    async with receiving() as (_, port):
        code, told = await call("receive", "--port", str(port))
    assert (code, told) == (
        1,
        f"scheduler-svc: can not listen on 127.0.0.1:{port}: Address already in use",
    )


async def test_switches_that_make_no_sense_are_refused() -> None:
    for switch, value in [("--status", "99"), ("--delay", "2"), ("--port", "65536")]:
        code, told = await call("receive", switch, value)
        assert code == 2
        assert f"argument {switch}: '{value}'" in told
