"""Following runs where something stands in the way for a while: it goes on from where it was."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from commands import call

pytestmark = pytest.mark.timeout(60)
RUN = {
    "id": "019b8f3a-1c00-8a4e-9d3b-6f2c1e7a5b40",
    "job_id": "019b8f3a-1c00-7a4e-9d3b-6f2c1e7a5b41",
    "status": "succeeded",
    "scheduled_for": "2026-03-02T08:00:00.000Z",
    "at": "2026-03-02T08:00:00.412Z",
}
TOLD = f"id: 7\nevent: run.succeeded\ndata: {json.dumps(RUN)}\n\n"
GAP = "event: gap\ndata: {}\n\n"


def answer(status: str, kind: str, text: str) -> str:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{text}"


def stream(text: str) -> str:
    return answer("200 OK", "text/event-stream", text)


def refusal(status: str, code: str) -> str:
    return answer(status, "application/problem+json", json.dumps({"code": code, "detail": code}))


@asynccontextmanager
async def answering(*answers: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Give each connection the next answer; yield the address and the heads that came."""
    left, heads = list(answers), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(left.pop(0).encode())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", heads


async def test_a_gap_is_shown_and_is_no_end() -> None:
    async with answering(stream(GAP + TOLD), stream(GAP + TOLD)) as (url, _):
        code, told = await call("runs", "tail", "--count", "1", "--url", url, env={})
        as_json = await call("runs", "tail", "--count", "1", "--json", "--url", url, env={})
    assert (code, RUN["id"] in told) == (0, True), told
    assert "read the lists again" in told
    assert [json.loads(line)["event"] for line in as_json[1].splitlines()] == [
        "gap",
        "run.succeeded",
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [("503 Service Unavailable", "unavailable"), ("429 Too Many Requests", "rate_limited")],
)
async def test_a_replica_that_has_no_place_now_is_asked_again_from_where_it_was(
    status: str, code: str
) -> None:
    answers = (stream(TOLD), refusal(status, code), stream(TOLD))
    async with answering(*answers) as (url, heads):
        ended, told = await call("runs", "tail", "--count", "2", "--url", url, env={})
    assert (ended, told.count(RUN["id"])) == (0, 2), told
    assert "last-event-id: 7" in heads[2].lower()


async def test_a_key_that_is_good_no_more_ends_it() -> None:
    answers = (stream(TOLD), refusal("401 Unauthorized", "unauthenticated"))
    async with answering(*answers) as (url, heads):
        ended, told = await call("runs", "tail", "--url", url, env={})
    assert (ended, len(heads)) == (1, 2), told


async def test_who_waits_for_a_run_goes_on_waiting_while_a_replica_leaves() -> None:
    made = answer("202 Accepted", "application/json", json.dumps({"id": RUN["id"]}))
    ended: dict[str, object] = {**RUN, "reason": None, "attempts": []}
    answers = (
        made,
        refusal("503 Service Unavailable", "unavailable"),
        answer("200 OK", "application/json", json.dumps(ended)),
    )
    async with answering(*answers) as (url, heads):
        code, told = await call(*("jobs", "trigger", "j", "--wait", "--json", "--url", url), env={})
    assert (code, len(heads)) == (0, 3), told
