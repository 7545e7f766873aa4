"""Trace contexts: one trace a run, a parent that the target knows, and a share that is sampled."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scheduler_svc.domain import ids, spans
from scheduler_svc.domain.spans import SpanContext, read_traceparent, traceparent

JOB = UUID("0198c0de-0000-7000-8000-000000000001")
GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_trace_of_a_run_is_its_id_and_each_of_its_spans_has_another_id() -> None:
    run = ids.run_id(JOB, 1_764_000_000_000)
    named = [spans.of_run(run, 0)]
    named += [spans.of_attempt(run, number, 0) for number in range(1, 120)]
    named += [spans.of_settle(run, number, 0) for number in range(1, 120)]
    assert {context.trace_id for context in named} == {run.int}
    assert len({context.span_id for context in named}) == len(named)
    assert all(context.span_id for context in named)


def test_the_target_is_told_of_the_very_span_of_its_attempt() -> None:
    run = ids.run_id(JOB, 1_764_000_000_000)
    for least in (0, spans.threshold(0)):
        told = spans.attempt_traceparent(run, 3, least).decode()
        assert read_traceparent(told) == spans.of_attempt(run, 3, least)
        assert told[3:35] == run.hex


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_back_and_opentelemetry_reads_the_same(
    trace_id: int, span_id: int, sampled: bool
) -> None:
    context = SpanContext(trace_id, span_id, sampled)
    text = traceparent(context)
    assert read_traceparent(text) == context
    found = TraceContextTextMapPropagator().extract({"traceparent": text})
    other = get_current_span(found).get_span_context()
    assert (other.trace_id, other.span_id, other.trace_flags.sampled) == (
        trace_id,
        span_id,
        sampled,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        GOOD.upper(),
        GOOD + "-more",
        GOOD.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + GOOD[35:],
        GOOD[:36] + "0" * 16 + "-01",
        GOOD[:-1],
        GOOD[:-2] + "0x",
        GOOD + "\n" + GOOD,
    ],
)
def test_a_header_that_names_no_span_is_as_none(text: str) -> None:
    assert read_traceparent(text) is None


def test_a_later_version_may_say_more_and_unknown_flags_count_for_nothing() -> None:
    later = read_traceparent(GOOD.replace("00-", "cc-", 1) + "-what-will-come")
    assert later == read_traceparent(GOOD)
    unsampled = read_traceparent(GOOD[:-2] + "fe")
    assert unsampled is not None
    assert not unsampled.sampled


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.3, 1.0])
def test_the_share_that_is_sampled_is_the_share_that_was_asked_for(ratio: float) -> None:
    least = spans.threshold(ratio)
    runs = [ids.run_id(JOB, second * 1000) for second in range(20_000)]
    sampled = sum(spans.of_run(run, least).sampled for run in runs)
    assert abs(sampled / len(runs) - ratio) < 0.015
    assert spans.of_run(runs[0], spans.threshold(1)).sampled


def test_who_samples_less_samples_some_of_the_same() -> None:
    few, many = spans.threshold(0.2), spans.threshold(0.5)
    runs = [uuid4() for _ in range(2000)]
    of_few = {run for run in runs if spans.of_run(run, few).sampled}
    of_many = {run for run in runs if spans.of_run(run, many).sampled}
    assert of_few
    assert of_few < of_many
