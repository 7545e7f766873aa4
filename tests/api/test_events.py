"""What the stream of events refuses before it begins; tests/cluster shows it at work."""

from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest

from scheduler_svc.api import feed as feeds
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.feed import Feed
from scheduler_svc.store.pool import Pool
from serving import Clock, serving
from watching import watching


@pytest.fixture
def feed(pool: Pool, clock: Clock) -> Feed:
    return Feed(pool, clock, poll_seconds=0.2)


@pytest.fixture
async def http(deps: Deps, feed: Feed) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serving(build_app(msgspec.structs.replace(deps, feed=feed))) as base,
        httpx2.AsyncClient(base_url=base) as opened,
    ):
        yield opened


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "1" * 19])
async def test_a_last_event_id_of_another_stream_is_refused(
    http: httpx2.AsyncClient, last: str
) -> None:
    answer = await http.get("/events", headers={"Last-Event-ID": last})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "Last-Event-ID"


async def test_head_answers_at_once_and_takes_no_place(http: httpx2.AsyncClient) -> None:
    answer = await http.head("/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers


async def test_one_too_many_is_told_to_try_again_and_a_place_is_free_when_one_leaves(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "WATCHERS_MAX", 1)
    address = str(http.base_url.join("/events"))
    async with watching(address):
        refused = await http.get("/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert "retry-after" in refused.headers
    async with watching(address):
        pass


async def test_a_namespace_that_takes_all_places_leaves_some_for_others(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "WATCHERS_MAX", 5)
    monkeypatch.setattr(feeds, "RESERVED", 2)
    monkeypatch.setattr(feeds, "FEW", 1)
    address = str(http.base_url.join("/events"))
    theirs = {"Scheduler-Namespace": "theirs"}
    async with watching(address), watching(address), watching(address):
        assert (await http.get("/events")).status_code == 503
        async with watching(address, theirs):
            assert (await http.get("/events", headers=theirs)).status_code == 503


async def test_a_replica_that_leaves_begins_no_stream(http: httpx2.AsyncClient, feed: Feed) -> None:
    feed.close()
    assert (await http.get("/events")).status_code == 503
