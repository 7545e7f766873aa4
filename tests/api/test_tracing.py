"""Requests in traces: the caller's is taken up, a run that was asked for is linked both ways."""

import asyncio
from typing import Any

import httpx2
import pytest
from msgspec import structs

from factories import body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain import spans
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.domain.spans import Span, SpanContext, read_traceparent, traceparent
from scheduler_svc.store.claims import OVERRIDES
from scheduler_svc.store.pool import Pool
from serving import Records

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = PARENT[:-1] + "0"


@pytest.fixture
def taken() -> list[Span]:
    return []


@pytest.fixture
def deps(deps: Deps, taken: list[Span]) -> Deps:
    return structs.replace(deps, on_span=taken.append)


async def job(http: httpx2.AsyncClient) -> str:
    made = await http.post("/jobs", json=body(schedule={"every": "1h"}))
    return str(made.json()["id"])


async def overrides_of(pool: Pool, run_id: str) -> Overrides | None:
    text = await pool.fetchval("SELECT overrides FROM runs WHERE id = $1::uuid", run_id)
    return None if text is None else OVERRIDES.decode(text)


async def test_the_span_of_a_request_is_a_child_of_its_callers(
    http: httpx2.AsyncClient, taken: list[Span], records: Records
) -> None:
    await http.get("/jobs?limit=5", headers={"traceparent": PARENT, "X-Request-ID": "r-1"})
    (span,) = taken
    assert span.parent is not None
    assert span.parent == read_traceparent(PARENT)
    assert span.context.trace_id == span.parent.trace_id
    assert span.context.span_id != span.parent.span_id
    assert (span.name, span.kind) == ("GET /jobs", "server")
    assert span.attributes["scheduler.request.id"] == "r-1"
    assert span.attributes["http.response.status_code"] == 200
    assert span.start_ns <= span.end_ns
    assert [one.trace_id for one in records.requests] == [PARENT[3:35]]


async def test_a_request_without_a_trace_begins_one_of_its_own(
    http: httpx2.AsyncClient, taken: list[Span]
) -> None:
    for headers in ({}, {"traceparent": "nonsense"}):
        await http.get("/jobs", headers=headers)
    twice = [("traceparent", PARENT), ("traceparent", PARENT)]
    await http.get("/jobs", headers=twice)
    assert [span.parent for span in taken] == [None] * 3
    assert len({span.context.trace_id for span in taken}) == 3


async def test_what_the_caller_does_not_sample_is_not_sampled_here(
    http: httpx2.AsyncClient, taken: list[Span], pool: Pool
) -> None:
    job_id = await job(http)
    taken.clear()
    run = (await http.post(f"/jobs/{job_id}/trigger", headers={"traceparent": UNSAMPLED})).json()
    assert taken == []
    assert await overrides_of(pool, run["id"]) is None


async def test_of_traces_that_begin_here_the_share_is_sampled_and_the_callers_choice_counts(
    deps: Deps, taken: list[Span]
) -> None:
    none = structs.replace(deps, trace_least=spans.threshold(0))
    transport = httpx2.ASGITransport(build_app(none))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        await http.get("/jobs")
        assert taken == []
        await http.get("/jobs", headers={"traceparent": PARENT})
        assert len(taken) == 1


async def test_a_run_and_the_request_that_asked_for_it_are_linked_both_ways(
    http: httpx2.AsyncClient, taken: list[Span], pool: Pool
) -> None:
    job_id = await job(http)
    taken.clear()
    run = (await http.post(f"/jobs/{job_id}/trigger", headers={"traceparent": PARENT})).json()
    (span,) = taken
    assert span.name == "POST /jobs/{id}/trigger"
    assert run["trace_id"] == run["id"].replace("-", "")
    assert [f"{link.trace_id:032x}" for link in span.links] == [run["trace_id"]]
    kept = await overrides_of(pool, run["id"])
    assert kept == Overrides(request=traceparent(span.context))


async def test_a_replay_is_linked_to_the_request_that_asked_for_it_and_not_to_its_originals(
    http: httpx2.AsyncClient, taken: list[Span], pool: Pool, deps: Deps
) -> None:
    job_id = await job(http)
    run = (await http.post(f"/jobs/{job_id}/trigger", json={"body": {"a": 1}})).json()
    (await http.post(f"/runs/{run['id']}/cancel")).raise_for_status()
    taken.clear()
    again = (await http.post(f"/runs/{run['id']}/replay")).json()
    (span,) = taken
    kept = await overrides_of(pool, again["id"])
    assert kept == Overrides(body='{"a":1}', request=traceparent(span.context))
    transport = httpx2.ASGITransport(build_app(structs.replace(deps, on_span=None)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as off:
        third = (await off.post(f"/runs/{run['id']}/replay")).json()
    assert await overrides_of(pool, third["id"]) == Overrides(body='{"a":1}')


async def test_without_anybody_who_takes_spans_the_callers_trace_is_named_in_the_log(
    deps: Deps, records: Records, pool: Pool
) -> None:
    transport = httpx2.ASGITransport(build_app(structs.replace(deps, on_span=None)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        job_id = await job(http)
        headers = {"traceparent": PARENT}
        run = (await http.post(f"/jobs/{job_id}/trigger", headers=headers)).json()
    assert [one.trace_id for one in records.requests] == [None, PARENT[3:35]]
    assert await overrides_of(pool, run["id"]) is None


async def test_what_watches_the_service_is_not_traced(
    http: httpx2.AsyncClient, taken: list[Span]
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        await http.get(path, headers={"traceparent": PARENT})
    assert taken == []


async def test_only_what_is_our_fault_counts_as_an_error(
    http: httpx2.AsyncClient, taken: list[Span], pool: Pool
) -> None:
    await http.get("/jobs/none-such")
    await pool.execute("ALTER TABLE jobs RENAME TO jobs_elsewhere")
    try:
        await http.get("/jobs/none-such")
    finally:
        await pool.execute("ALTER TABLE jobs_elsewhere RENAME TO jobs")
    assert [span.error for span in taken] == [None, "500"]


async def test_requests_at_once_keep_their_ids_apart(deps: Deps) -> None:
    """Whatever is logged within a request is named by `naming`, which the wiring gives."""
    seen: list[tuple[str, str | None]] = []

    def naming(request_id: str, trace_id: str | None) -> Any:
        seen.append((request_id, trace_id))
        return _Nothing()

    transport = httpx2.ASGITransport(build_app(structs.replace(deps, naming=naming)))
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(3):
            context = SpanContext(number + 1, 7, sampled=True)
            headers = {"X-Request-ID": f"r-{number}", "traceparent": traceparent(context)}
            tasks.create_task(http.get("/jobs", headers=headers))
    assert sorted(seen) == [(f"r-{number}", f"{number + 1:032x}") for number in range(3)]


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
