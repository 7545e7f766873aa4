"""GET /forecast: how often anything fires in each minute ahead, and at which hosts.

Reads the jobs in pages and counts in slices of some milliseconds: the tick and other callers get
their turn between them. No transaction stays open over the whole, so a job that is edited meanwhile
counts as it was or as it is.
"""

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, field

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire import Stamp, stamp_ms
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.forecast import HOSTS_MAX, Forecast, ForecastJob
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import HORIZON
from scheduler_svc.domain.schedule import Instant
from scheduler_svc.store import forecast as stored
from scheduler_svc.store.pool import connection
from scheduler_svc.store.timers import NIL

DAY_MS = 86_400_000
WINDOW_MAX_MS = 7 * DAY_MS
PAGE = 250
SLICE_SECONDS = 0.002
COUNTING_SECONDS_MAX = 60.0


class ForecastMinute(Struct, frozen=True, kw_only=True):
    """A minute in which something fires, and how much."""

    at: Stamp
    count: int


class ForecastTarget(Struct, frozen=True, kw_only=True):
    """What one host gets."""

    host: str
    count: int
    peak_per_minute: int


class ForecastView(Struct, frozen=True, kw_only=True):
    """The load ahead: minutes in which nothing fires are left out."""

    from_: Annotated[Stamp, Meta(description="Inclusive.")] = field(name="from")
    to: Annotated[Stamp, Meta(description="Exclusive.")]
    minutes: list[ForecastMinute]
    targets: list[ForecastTarget]


async def get_forecast(call: Call) -> Reply:
    """Count what all jobs fire within a window."""
    low_ms, high_ms = _window(call)
    forecast = Forecast(low_ms, high_ms)
    await _fill(call, forecast)
    await _in_slices(forecast.steps())
    return Reply(
        body=ForecastView(
            from_=stamp_ms(low_ms),
            to=stamp_ms(high_ms),
            minutes=[
                ForecastMinute(at=stamp_ms(at), count=count) for at, count in forecast.minutes()
            ],
            targets=[
                ForecastTarget(host=one.host, count=one.count, peak_per_minute=one.peak_per_minute)
                for one in forecast.hosts()
            ],
        )
    )


def _window(call: Call) -> tuple[int, int]:
    """Read the window, by default the day from now on; raise Invalid."""
    now_ms = call.deps.now_ms()
    begin, end = call.query["from"], call.query["to"]
    low_ms = now_ms if begin is None else epoch_ms(begin)
    high_ms = low_ms + DAY_MS if end is None else epoch_ms(end)
    if not 0 <= low_ms < HORIZON:
        raise Invalid([Fault("", "must lie from 1970 to 2199", parameter="from")])
    if not low_ms < high_ms <= low_ms + WINDOW_MAX_MS:
        raise Invalid([Fault("", "must lie after `from`, at most seven days", parameter="to")])
    return low_ms, high_ms


async def _fill(call: Call, forecast: Forecast) -> None:
    """Read page after page, the next one while the last one is sorted in."""
    jobs, after = await _page(call, NIL)
    while after is not None:
        following, _ = await asyncio.gather(_page(call, after), _in_slices(forecast.fill(jobs)))
        jobs, after = following
    await _in_slices(forecast.fill(jobs))


async def _page(call: Call, after: UUID) -> tuple[list[ForecastJob], UUID | None]:
    async with connection(call.deps.pool) as conn:
        return await stored.page(conn, call.namespace, after, at_most=PAGE)


async def _in_slices(steps: Iterator[None]) -> None:
    """Take all steps, giving way every two milliseconds; raise Invalid where it takes too long."""
    began = turn = monotonic()
    for _ in steps:
        if (now := monotonic()) - turn > SLICE_SECONDS:
            if now - began > COUNTING_SECONDS_MAX:
                raise Invalid([Fault("", "is too much to count; narrow it", parameter="to")])
            await asyncio.sleep(0)
            turn = monotonic()


ROUTES = (
    Route(
        method="GET",
        standby=True,
        path="/forecast",
        handler=get_forecast,
        operation_id="get_forecast",
        summary="Look at the load ahead",
        description=(
            "Fires per minute over all jobs, by the engine's own rules: clock changes, exclusions,"
            " `spread` and `max_runs` included; overlaps and retries are not foreseen."
            f" At most seven days, and the {HOSTS_MAX:,} hosts with the most jobs."
        ),
        tag="schedules",
        params=(
            QueryParam(name="from", type=Instant, description="Inclusive; now by default."),
            QueryParam(
                name="to", type=Instant, description="Exclusive; a day after `from` by default."
            ),
        ),
        answers={200: Answer(description="The load, minute by minute.", type=ForecastView)},
    ),
)
