"""What happens at one replica is seen at another as it happens; what was missed is caught up."""

import signal
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import httpx2
import pytest

from fleet import all_ended, database, replica
from sealing import KEY_TEXT
from sink import sinking
from watching import Watch, watching

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
ROOT = {"Authorization": f"Bearer {BOOTSTRAP}"}
GUARDED = {
    "profile": "production",
    "host": "127.0.0.1",
    "bootstrap_key": BOOTSTRAP,
    "secret_keys": KEY_TEXT,
}
FIELDS = {"id", "job_id", "status", "scheduled_for", "at"}
SEEN_WITHIN_MS = 500

pytestmark = pytest.mark.timeout(120)


def job(url: str, name: str = "j") -> dict[str, Any]:
    return {"name": name, "schedule": {"every": "1h"}, "target": {"url": url}, "overlap": "allow"}


async def heard(http: httpx2.AsyncClient, watch: Watch, verb: str, event: str) -> None:
    """Ask until it is told: from then on the replica that makes it happen knows of the watcher."""
    while True:
        answer = await http.post(f"/jobs/j/{verb}")
        assert answer.is_success
        try:
            await watch.until(event, seconds=1)
        except TimeoutError:
            continue
        return


@pytest.mark.parametrize("listen", ["true", "false"])
async def test_a_run_at_one_replica_is_seen_at_another_within_half_a_second(
    dsn: str, listen: str
) -> None:
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        await stack.enter_async_context(replica(dsn, listen=listen, role="engine"))
        shown = await stack.enter_async_context(replica(dsn, listen=listen, role="api"))
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=shown.url("")))
        watch = await stack.enter_async_context(watching(shown.url("/events")))
        made = (await http.post("/jobs", json=job(sink.url()))).json()
        await heard(http, watch, "trigger", "run.succeeded")
        run = (await http.post("/jobs/j/trigger")).json()
        started, ended = await watch.until("run.started", "run.succeeded", of=run["id"])
        for event, status in ((started, "running"), (ended, "succeeded")):
            assert set(event.data) == FIELDS
            assert event.data["id"] == run["id"]
            assert event.data["job_id"] == made["id"]
            assert event.data["status"] == status
            assert event.data["scheduled_for"] == run["scheduled_for"]
        after = (await http.get(f"/runs/{run['id']}")).json()
        assert ended.at_ms - ms_of(after["finished_at"]) < SEEN_WITHIN_MS
        ids = [event.id for event in watch.seen]
        assert ids == sorted(set(ids))


def ms_of(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


async def test_the_life_of_a_job_is_told_with_its_states(dsn: str) -> None:
    async with (
        replica(dsn) as one,
        httpx2.AsyncClient(base_url=one.url("")) as http,
        watching(one.url("/events")) as watch,
    ):
        await http.post("/jobs", json=job("http://127.0.0.1:1/"))
        before = await settled(http, watch)
        other = (await http.post("/jobs", json=job("http://127.0.0.1:1/", "other"))).json()
        await http.patch("/jobs/other", json={"description": "x"})
        await http.post("/jobs/other/pause")
        await http.post("/jobs/other/resume")
        await http.delete("/jobs/other")
        names = ["job.created", "job.updated", "job.paused", "job.resumed", "job.deleted"]
        told = await watch.until(*names, after=before)
        states = [event.data["status"] for event in told]
        assert states[2:] == ["paused", "active", "deleted"]
        for event in told:
            assert event.data["id"] == event.data["job_id"] == other["id"]
            assert event.data["scheduled_for"] is None


async def settled(http: httpx2.AsyncClient, watch: Watch) -> int:
    """Change a job until that is told, to the last change; return how much was seen by then.

    A change may be told after the next was made, so one of another name ends them: events come
    in their order.
    """
    number = 0
    while True:
        number += 1
        await http.patch("/jobs/j", json={"description": f"{number}"})
        try:
            await watch.until("job.updated", seconds=1)
        except TimeoutError:
            continue
        await http.post("/jobs/j/pause")
        await http.post("/jobs/j/resume")
        await watch.until("job.resumed")
        return len(watch.seen)


async def test_who_comes_back_at_another_replica_is_told_what_was_missed_and_no_more(
    dsn: str,
) -> None:
    async with (
        replica(dsn) as one,
        replica(dsn) as other,
        httpx2.AsyncClient(base_url=one.url("")) as http,
    ):
        await http.post("/jobs", json=job("http://127.0.0.1:1/"))
        async with watching(one.url("/events")) as watch:
            seen = (await watch_begun(http, watch))[-1]
        for number in range(3):
            await http.patch("/jobs/j", json={"description": f"missed {number}"})
        back = {"Last-Event-ID": str(seen)}
        async with watching(other.url("/events"), back) as again:
            told = await again.until(*["job.updated"] * 3)
            assert [event.id for event in told] == [event.id for event in again.seen]
            assert min(event.id for event in told) > seen
            await http.patch("/jobs/j", json={"description": "live"})
            await again.until(*["job.updated"] * 4)


async def watch_begun(http: httpx2.AsyncClient, watch: Watch) -> list[int]:
    await settled(http, watch)
    return [event.id for event in watch.seen]


async def test_who_comes_back_too_late_is_told_that_some_is_gone(dsn: str) -> None:
    async with (
        replica(dsn) as one,
        replica(dsn) as other,
        httpx2.AsyncClient(base_url=one.url("")) as http,
        database(dsn) as ledger,
    ):
        await http.post("/jobs", json=job("http://127.0.0.1:1/"))
        async with watching(one.url("/events")) as watch:
            begun = await watch_begun(http, watch)
            await http.patch("/jobs/j", json={"description": "missed"})
            await watch.until("job.updated", after=len(begun))
            seen = begun[-1]
        await ledger.execute("TRUNCATE events")  # as a crash of the server does
        async with watching(other.url("/events"), {"Last-Event-ID": str(seen)}) as again:
            (gap,) = await again.until("gap")
            assert gap.data == {}
            await http.patch("/jobs/j", json={"description": "after"})
            await again.until("gap", "job.updated")


async def test_nobody_watches_so_nothing_is_written(dsn: str) -> None:
    async with (
        sinking() as sink,
        replica(dsn) as one,
        httpx2.AsyncClient(base_url=one.url("")) as http,
        database(dsn) as ledger,
    ):
        await http.post("/jobs", json=job(sink.url()))
        run = (await http.post("/jobs/j/trigger")).json()
        await all_ended(ledger, jobs=1, seconds=20)
        assert (await http.get(f"/runs/{run['id']}")).json()["status"] == "succeeded"
        assert await ledger.fetchval("SELECT count(*) FROM events") == 0
        assert await ledger.fetchval("SELECT count(*) FROM event_interest") == 0


async def test_a_stream_ends_with_the_key_it_was_opened_with(dsn: str) -> None:
    async with (
        replica(dsn, **GUARDED) as one,
        httpx2.AsyncClient(base_url=one.url(""), headers=ROOT) as http,
    ):
        sent = {"name": "k", "scopes": ["events:read"]}
        key = (await http.post("/api-keys", json=sent)).json()
        bearer = {"Authorization": f"Bearer {key['key']}"}
        async with watching(one.url("/events"), bearer) as watch:
            await http.delete(f"/api-keys/{key['id']}")
            await watch.end(seconds=3)


async def test_a_stream_ends_with_the_session_it_was_opened_with(dsn: str) -> None:
    async with (
        replica(dsn, **GUARDED) as one,
        replica(dsn, **GUARDED) as other,
        httpx2.AsyncClient(base_url=one.url("")) as http,
    ):
        begun = (await http.post("/ui/login", json={"key": BOOTSTRAP})).json()
        cookie = {"Cookie": f"scheduler_session={http.cookies['scheduler_session']}"}
        async with watching(one.url("/events"), cookie) as watch:
            async with httpx2.AsyncClient(base_url=other.url(""), headers=cookie) as there:
                csrf = {"X-CSRF-Token": begun["csrf_token"]}
                assert (await there.post("/ui/logout", headers=csrf)).status_code == 204
            await watch.end(seconds=3)


async def test_a_namespace_sees_its_own_alone(dsn: str) -> None:
    async with (
        replica(dsn) as one,
        httpx2.AsyncClient(base_url=one.url("")) as http,
        watching(one.url("/events")) as ours,
        watching(one.url("/events"), {"Scheduler-Namespace": "theirs"}) as theirs,
    ):
        await http.post("/jobs", json=job("http://127.0.0.1:1/"))
        before = await settled(http, ours)
        there = {"Scheduler-Namespace": "theirs"}
        made = (await http.post("/jobs", json=job("http://127.0.0.1:1/"), headers=there)).json()
        await http.patch("/jobs/j", json={"description": "ours again"})
        (told,) = await theirs.until("job.created")
        assert told.data["job_id"] == made["id"]
        await ours.until("job.updated", after=before)
        assert made["id"] not in {event.data["job_id"] for event in ours.seen}
        assert {event.data["job_id"] for event in theirs.seen} == {made["id"]}


async def test_a_replica_that_leaves_ends_its_streams_at_once(dsn: str) -> None:
    async with replica(dsn) as one, watching(one.url("/events")) as watch:
        one.program.tell(signal.SIGTERM)
        await watch.end(seconds=3)
        assert await one.program.end() == 0
