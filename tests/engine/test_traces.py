"""Spans of the engine: one trace a run, the target's parent, links; and free when off."""

import sys
from collections import Counter
from types import FrameType
from typing import Any

import msgspec
import pytest

from receiver import OK, answer, in_turn, raw
from rig import HOUR, SECOND, Rig
from scheduler_svc.domain import spans
from scheduler_svc.domain.spans import Span, read_traceparent
from scheduler_svc.engine import pace

SPANS = ("domain/spans.py", "engine/tracing.py", "telemetry/traces.py")
RETRY = {"max_attempts": 3, "initial_delay": "5s", "multiplier": 2.0, "jitter": "none"}


def traced(rig: Rig, ratio: float = 1.0) -> list[Span]:
    """Take the spans of a replica from here on."""
    taken: list[Span] = []
    limits = msgspec.structs.replace(rig.parts.limits, trace_least=spans.threshold(ratio))
    rig.parts = msgspec.structs.replace(rig.parts, on_span=taken.append, limits=limits)
    rig.parts.hand.claimed = []
    return taken


async def claim(rig: Rig) -> None:
    """Make one pass, as the loop does."""
    await pace._pass(rig.parts, rig.pace)


def named(taken: list[Span], name: str) -> list[Span]:
    return [span for span in taken if span.name == name]


async def test_a_retry_by_another_replica_is_of_the_same_trace(rig: Rig, other: Rig) -> None:
    taken = traced(rig)
    taken_by_other = traced(other)
    rig.receiver.on("/", in_turn(answer(503), raw(OK)))
    await rig.job(schedule={"every": "1h"}, retry=RETRY)
    await rig.pass_time(HOUR)
    await rig.work()
    await other.pass_time(5 * SECOND)
    await other.work()
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("succeeded", 2)
    everything = taken + taken_by_other
    assert {span.context.trace_id for span in everything if span.name != "claim"} == {run["id"].int}
    (first,), (second,) = named(taken, "attempt"), named(taken_by_other, "attempt")
    (whole,) = named(everything, "run")
    assert whole in taken_by_other
    assert whole.parent is None
    assert first.parent == second.parent == whole.context
    assert [span.parent for span in named(everything, "settle")] == [whole.context] * 2
    told = [read_traceparent(r.headers["traceparent"]) for r in rig.receiver.requests]
    assert told == [first.context, second.context]
    assert (first.error, second.error) == ("http_error", None)
    assert first.attributes["http.response.status_code"] == 503
    assert second.attributes["http.request.resend_count"] == 1
    assert whole.attributes["scheduler.run.attempts"] == 2
    assert whole.start_ns == first.start_ns
    assert whole.end_ns >= second.start_ns


async def test_spans_hold_nothing_of_the_path_and_the_query(rig: Rig) -> None:
    taken = traced(rig)
    url = rig.receiver.url("/canary?key=canary")
    await rig.job(schedule={"every": "1h"}, target={"url": url, "headers": {"X-A": "canary"}})
    await rig.pass_time(HOUR)
    await rig.work()
    assert named(taken, "attempt")
    assert "canary" not in repr(taken)


async def test_a_pass_is_linked_to_what_it_claimed_and_is_nobodys_parent(rig: Rig) -> None:
    taken = traced(rig)
    for _ in range(3):
        await rig.job(schedule={"every": "1h"})
    await claim(rig)
    assert taken == []  # it claimed nothing
    await rig.pass_time(HOUR)
    await claim(rig)
    await rig.send()
    (made,) = named(taken, "claim")
    assert made.attributes["scheduler.claim.runs"] == 3
    runs = {spans.of_run(row["id"], 0) for row in await rig.runs()}
    assert set(made.links) == runs
    assert made.context.trace_id not in {run.trace_id for run in runs}
    assert made.context not in {span.parent for span in taken}


async def test_what_is_not_sampled_makes_no_span_and_the_target_is_told_so(rig: Rig) -> None:
    taken = traced(rig, ratio=0.0)
    await rig.job(schedule={"every": "1h"})
    await rig.pass_time(HOUR)
    await claim(rig)
    await rig.send()
    assert taken == []
    (received,) = rig.receiver.requests
    assert received.headers["traceparent"].endswith("-00")


async def test_an_end_that_another_replica_has_made_void_is_told_as_such(rig: Rig) -> None:
    taken = traced(rig)
    await rig.job(schedule={"every": "1h"})
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        await rig.parts.pool.execute("UPDATE runs SET attempt_count = 2")
    (settle,) = named(taken, "settle")
    assert settle.attributes["scheduler.settle.superseded"] is True
    assert settle.error
    assert named(taken, "run") == []


async def test_without_anybody_who_takes_spans_a_fire_calls_nothing_that_makes_them(
    rig: Rig,
) -> None:
    """What is left of tracing on the path of a fire is the header that the target gets anyway."""

    async def fires(count: int) -> Counter[str]:
        called: Counter[str] = Counter()

        def hear(frame: FrameType, event: str, _: Any) -> None:
            file = frame.f_code.co_filename
            if event == "call" and file.endswith(SPANS):
                called[frame.f_code.co_name] += 1

        for _ in range(count):
            await rig.job(schedule={"every": "1h"})
        await rig.pass_time(HOUR)
        sys.setprofile(hear)
        try:
            await claim(rig)
            await rig.send()
        finally:
            sys.setprofile(None)
        return called

    assert await fires(4) == {"attempt_traceparent": 4}
    traced(rig)
    assert set(await fires(1)) > {"attempt_traceparent", "settled", "passed"}


@pytest.mark.parametrize("ratio", [0.5])
async def test_replicas_agree_on_what_is_sampled(rig: Rig, other: Rig, ratio: float) -> None:
    taken, taken_by_other = traced(rig, ratio), traced(other, ratio)
    rig.receiver.on("/", answer(503))
    for _ in range(12):
        await rig.job(schedule={"every": "1h"}, retry=RETRY | {"max_attempts": 2})
    await rig.pass_time(HOUR)
    await rig.work()
    await other.pass_time(5 * SECOND)
    await other.work()
    first = {span.context.trace_id for span in named(taken, "attempt")}
    second = {span.context.trace_id for span in named(taken_by_other, "attempt")}
    ended = {span.context.trace_id for span in named(taken_by_other, "run")}
    assert first == second == ended
    flags = {
        (r.headers["webhook-id"], r.headers["traceparent"][-2:]) for r in rig.receiver.requests
    }
    assert len(flags) == 12
    assert len([flag for _, flag in flags if flag == "01"]) == len(first)
