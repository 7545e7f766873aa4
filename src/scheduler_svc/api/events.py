"""GET /events: server-sent events of what happens to runs and jobs, as it happens.

Promises increasing ids, that a caller who comes back with the last one has missed nothing of the
last minutes or is told so, and that a stream ends when its caller's credentials do. It is there to
look at: the record is the list of runs.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from uuid import UUID

import msgspec
from msgspec import Struct

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.feed import Feed
from scheduler_svc.api.route import Answer, HeaderParam, QueryParam, Route
from scheduler_svc.api.wire import Stamp, stamp
from scheduler_svc.domain.errors import Fault, Invalid, Refused, Unavailable
from scheduler_svc.store.events import Event
from scheduler_svc.store.pool import is_database_away

BEAT_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How long a stream may outlive the credentials that it was opened with."""
JUDGE_SECONDS = 0.5
"""Not oftener, however much happens: a token costs the loop a sixth of a millisecond."""
ID_DIGITS = 18
HELLO = b"retry: 2000\n: what happens from here on\n\n"
BEAT = b": beat\n\n"
GAP = b"event: gap\ndata: {}\n\n"
_ENCODE = msgspec.json.Encoder().encode


class Told(Struct, frozen=True, kw_only=True):
    """The data of one event: `id` is of the run, or of the job where the event is a job's."""

    id: UUID
    job_id: UUID
    status: str
    scheduled_for: Stamp | None
    at: Stamp


async def get_events(call: Call) -> Reply:
    """Stream what happens from here on, or since the event that the caller saw last."""
    feed = call.deps.feed
    if feed is None:
        raise Unavailable("This replica tells no events.")
    last = _last_id(call)
    stream = _stream(call, feed, last)
    await anext(stream)  # what would be refused is refused before anything is sent
    return Reply(stream=stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _last_id(call: Call) -> int | None:
    """Read Last-Event-ID; an empty one is none, as the standard has it."""
    text = call.headers.get("last-event-id", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= ID_DIGITS):
        detail = "must be the id of an event of this stream; leave it out to begin now"
        raise Invalid([Fault("", detail, parameter="Last-Event-ID")])
    return int(text)


async def _stream(call: Call, feed: Feed, last: int | None) -> AsyncGenerator[bytes, None]:
    """Yield the stream in pieces; the first tells nothing and comes when everything is ready."""
    with feed.watching(call.namespace):
        newest = await feed.join()
        after = newest if last is None else last
        yield b""
        yield HELLO
        quiet_since = judged_at = time.monotonic()
        while not feed.closed:
            if time.monotonic() > judged_at + JUDGE_SECONDS:
                judged_at = time.monotonic()
                if not await _welcome(call):
                    return
            events, after, missed = await _next(feed, after)
            piece = (GAP if missed else b"") + b"".join(map(_piece, _shown(call, events)))
            now = time.monotonic()
            if piece or now > quiet_since + BEAT_SECONDS:
                yield piece or BEAT
                quiet_since = now
            if not events and not missed:
                await feed.more(LOOK_SECONDS)


async def _welcome(call: Call) -> bool:
    """Tell whether the credentials are still good; while the database is away nobody can say."""
    try:
        await call.again()
    except Refused:
        return False
    except Exception as error:
        if not is_database_away(error):
            raise
    return True


async def _next(feed: Feed, after: int) -> tuple[list[Event], int, bool]:
    """Return what comes next, the id up to which that is all, and whether some before is gone."""
    known = feed.after(after)
    if known is not None:
        return known, known[-1].id if known else after, False
    try:
        bounds, events = await feed.stored(after)
    except Exception as error:
        if not is_database_away(error):
            raise
        await asyncio.sleep(LOOK_SECONDS)
        return [], after, False
    gone = after > bounds.newest or (
        after < bounds.newest if bounds.oldest is None else after < bounds.oldest - 1
    )
    if events:
        return events, events[-1].id, gone
    return [], bounds.newest, gone


def _shown(call: Call, events: list[Event]) -> list[Event]:
    job_id = call.query["job_id"]
    return [
        event
        for event in events
        if event.namespace == call.namespace and job_id in {None, event.job_id}
    ]


def _piece(event: Event) -> bytes:
    told = Told(
        id=event.subject,
        job_id=event.job_id,
        status=event.status,
        scheduled_for=None if event.scheduled_for is None else stamp(event.scheduled_for),
        at=stamp(event.at),
    )
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.name.encode(), _ENCODE(told))


ROUTES = (
    Route(
        method="GET",
        path="/events",
        handler=get_events,
        operation_id="stream_events",
        summary="Stream what happens to runs and jobs",
        description="Server-sent events: `run.started`, `run.succeeded`, `run.failed`,"
        " `run.retrying`, `run.skipped`, `run.cancelled`, `job.created`, `job.updated`,"
        " `job.paused`, `job.resumed`, `job.completed`, `job.deleted`, with increasing ids; `gap`"
        " says that some are gone, so read the lists again. The last five minutes are kept for"
        " those who come back with `Last-Event-ID`. The data of each is an `EventData`.",
        tag="events",
        headers=(
            HeaderParam(
                name="Last-Event-ID", description="The last event seen: tell what followed."
            ),
        ),
        params=(
            QueryParam(name="job_id", type=UUID, description="Only of this job and its runs."),
        ),
        answers={200: Answer(description="The stream.", type=Told, media_type="text/event-stream")},
    ),
)
