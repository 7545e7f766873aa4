"""Events as the Python package tells them: in order, across streams that end, without a loss."""

import asyncio
import json

import pytest

from between import line
from clients_support import QUICK, Opener
from fleet import Replica
from receiver import Received, Wire, answer, in_turn, raw, receiving, reset
from scheduler_client import AsyncScheduler, Forbidden, JobSpec, Scheduler, Unanswered, Unavailable
from scheduler_client.streaming import Lines
from scheduler_client.values import Event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
PROBLEM = {"Content-Type": "application/problem+json"}


def told(number: int, name: str = "run.started") -> bytes:
    data = json.dumps({"id": "r", "job_id": "j", "status": "running", "scheduled_for": None})
    return f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode()


async def test_a_stream_that_is_cut_goes_on_after_the_last_event(service: Replica) -> None:
    """The line is cut between every two events, in the middle of the stream."""
    async with line(service.port) as cable, AsyncScheduler(cable.url, retry=QUICK) as watcher:
        with Scheduler(service.url("")) as other:
            seen: list[Event] = []
            watching = asyncio.create_task(watch(watcher, seen))
            spec: JobSpec = {
                "schedule": {"every": "1h"},
                "target": {"url": "http://127.0.0.1:1/"},
            }
            first = await asyncio.to_thread(other.put_job, "first", spec)
            async with asyncio.timeout(30):
                while not seen:  # nobody is told of what happened before somebody watched
                    now = str(asyncio.get_running_loop().time())
                    await asyncio.to_thread(other.patch_job, "first", {"description": now})
                    await asyncio.sleep(0.1)
                for number in range(4):
                    cable.cut()
                    await asyncio.to_thread(other.put_job, f"job-{number}", spec)
                while len(created(seen, after=first.id)) < 4:  # noqa: ASYNC110 - told by another task, one by one
                    await asyncio.sleep(0.02)
            watching.cancel()
    assert cable.opened >= 2
    numbers = [int(event.event_id) for event in seen]
    assert numbers == sorted(set(numbers))
    assert len(created(seen, after=first.id)) == 4
    assert not any(event.is_gap for event in seen)


async def watch(watcher: AsyncScheduler, seen: list[Event]) -> None:
    async for event in watcher.events():
        seen.append(event)  # noqa: PERF401 - it never ends


def created(seen: list[Event], *, after: str | None) -> list[Event]:
    """Return what was created, without the first: who watched early enough saw that too."""
    return [event for event in seen if event.name == "job.created" and event.job_id != after]


async def test_who_comes_back_says_what_came_last(asking: Opener) -> None:
    async with receiving() as between:
        cut = raw(HEAD + told(7) + b"id: 8\nevent: run.fai", then_close=True)
        away = answer(503, b"{}", PROBLEM | {"Retry-After": "0"})
        gap = raw(HEAD + b"event: gap\ndata: {}\n\n" + told(12), then_close=True)
        between.on("/events", in_turn(cut, away, gap))
        events = await asking(between.url("")).first(3, "events", job_id="j")
        heads = [one.headers.get("last-event-id") for one in between.requests]
    assert [(event.name, event.event_id) for event in events] == [
        ("run.started", "7"),
        ("gap", "8"),
        ("run.started", "12"),
    ]
    assert events[1].is_gap
    assert heads[0] is None
    assert between.requests[0].target == "/events?job_id=j"
    assert heads[1:3] == ["8", "8"]


async def test_a_stream_that_is_refused_for_good_is_an_error_and_one_that_is_away_too_after_a_while(
    asking: Opener,
) -> None:
    async with receiving() as between:
        between.on("/events", answer(403, b'{"code": "forbidden"}', PROBLEM))
        with pytest.raises(Forbidden):
            await asking(between.url("")).first(1, "events")
        between.on("/events", answer(503, b"{}", PROBLEM))
        with pytest.raises(Unavailable):
            await asking(between.url("")).first(1, "events")
        between.on("/events", hang_up)
        with pytest.raises(Unanswered):
            await asking(between.url("")).first(1, "events", last_event_id="5")
        assert between.requests[-1].headers["last-event-id"] == "5"
        assert len(between.requests) == 1 + 6 + 6


async def test_quiet_streams_that_are_cut_again_and_again_are_no_failure(asking: Opener) -> None:
    async with receiving() as between:
        hello = reset(HEAD + b": hello\n\n")
        between.on("/events", in_turn(*[hello] * 9, raw(HEAD + told(7), then_close=True)))
        (event,) = await asking(between.url("")).first(1, "events")
        assert (event.event_id, len(between.requests)) == ("7", 10)
    assert QUICK.delay(1_000_000) <= QUICK.delay_max


async def hang_up(wire: Wire, _: Received) -> None:
    wire.reset()


def test_lines_are_read_as_the_standard_says() -> None:
    lines = Lines()
    text = (
        ': hello\n\nid: 1\nevent:run.started\nretry: 5\ndata: {\ndata: "id": "r"}\n\n'
        "data\n\nid: a\0b\ndata: {}\n\n"
    )
    events = [event for one in text.split("\n") if (event := lines.feed(one)) is not None]
    assert [(event.name, event.id, event.event_id) for event in events] == [
        ("run.started", "r", "1"),
        ("message", "", "1"),
    ]
