"""The Python package asks a real service: what it makes, reads, pages through, and is refused."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clients_support import Opener
from fleet import Replica
from scheduler_client import (
    AsyncScheduler,
    Conflict,
    Invalid,
    Job,
    NotFound,
    PreconditionFailed,
    Scheduler,
    Unreadable,
)
from scheduler_client.place import find_place
from scheduler_client.reading import read
from sink import sinking

SPEC: Any = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}


def named(name: str, **more: Any) -> Any:
    return {"name": name, **SPEC, **more}


async def test_a_job_lives_from_create_to_delete(address: str, asking: Opener) -> None:
    ask = asking(address)
    dry = await ask("create_job", named("a"), dry_run=True)
    assert (dry.id, len(dry.upcoming)) == (None, 20)
    made = await ask("create_job", named("a", labels={"team": "ü"}))
    assert (made.name, made.state, made.revision) == ("a", "active", 1)
    assert made.next_fire_at - made.created_at == timedelta(hours=1)
    assert made.raw["misfire"]["policy"] == "once"
    changed = await ask("patch_job", "a", {"description": "x", "schedule": {"every": "2h"}})
    assert (changed.description, changed.schedule["every"]) == ("x", "2h")
    until = datetime.now(UTC) + timedelta(days=3)
    paused = await ask("pause_job", changed, reason="holidays", until=until)
    assert (paused.state, paused.pause.reason) == ("paused", "holidays")
    assert abs(paused.pause.until - until) < timedelta(milliseconds=1)
    assert (await ask("resume_job", "a", missed="skip")).state == "active"
    assert len(await ask("upcoming", made, count=3)) == 3
    assert (await ask("explain", "a", until)).verdict in {"fires", "never"}
    same = await ask("put_job", "a", named("a", labels={"team": "ü"}, description="x"))
    assert (same.changed, same.schedule["every"]) == (True, "1h")
    await ask("delete_job", "a")
    with pytest.raises(NotFound) as caught:
        await ask("get_job", "a")
    assert caught.value.request_id


async def test_a_preview_tells_of_the_change_of_clocks(address: str, asking: Opener) -> None:
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    shown = await asking(address)("preview", schedule, count=2, start=start)
    assert shown.occurrences[0].scheduled_for == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert shown.warnings[0].code == "dst_gap"


async def test_many_jobs_are_made_at_once_and_what_can_not_be_is_told(
    address: str, asking: Opener
) -> None:
    ask = asking(address)
    await ask("create_job", named("taken"))
    done = await ask("create_jobs", [named("a"), named("taken")], partial=True)
    assert done.created == 1
    assert [(one.index, one.id is None) for one in done.items] == [(0, False), (1, True)]
    assert done.items[1].error["code"] == "name_taken"


async def test_a_refusal_is_typed_and_says_where_every_fault_is(
    address: str, asking: Opener
) -> None:
    ask = asking(address)
    with pytest.raises(Invalid) as caught:
        await ask("create_job", {"schedule": {"evry": "1h"}, "target": {}})
    refusal = caught.value
    assert (refusal.status, refusal.code) == (422, "invalid")
    assert {one.pointer for one in refusal.errors} >= {"/schedule/evry", "/target/url"}
    assert refusal.pointer in {one.pointer for one in refusal.errors}
    assert refusal.request_id in str(refusal)
    await ask("create_job", named("a"))
    with pytest.raises(Conflict) as conflict:
        await ask("create_job", named("a"))
    assert conflict.value.code == "name_taken"
    with pytest.raises(Invalid) as parameter:
        await ask.first(1, "jobs", sort="age")
    assert parameter.value.errors[0].parameter == "sort"


async def test_what_has_changed_meanwhile_is_not_overwritten(address: str, asking: Opener) -> None:
    ask = asking(address)
    first = await ask("create_job", named("a"))
    assert await ask("get_job", first) is first
    second = await ask("patch_job", first, {"priority": 5}, if_match=first)
    with pytest.raises(PreconditionFailed):
        await ask("patch_job", "a", {"priority": 6}, if_match=first)
    with pytest.raises(PreconditionFailed):
        await ask("delete_job", "a", if_match=first.etag)
    again = await ask("get_job", first)
    assert (again.priority, again.etag) == (5, second.etag)
    with pytest.raises(PreconditionFailed):
        await ask("put_job", "a", named("a"), only_create=True)
    (listed,) = await ask.first(2, "jobs")
    with pytest.raises(ValueError, match="by itself"):
        await ask("patch_job", "a", {}, if_match=listed)


async def test_pages_follow_one_another_while_jobs_are_added(address: str, asking: Opener) -> None:
    ask = asking(address)
    before = [(await ask("create_job", named(f"old-{n}"))).id for n in range(7)]
    seen = []
    with Scheduler(address) as other:
        if isinstance(ask.scheduler, Scheduler):
            seen = await asyncio.to_thread(paged, ask.scheduler, other)
        else:
            async for job in ask.scheduler.jobs(page_size=2):
                seen.append(job.id)
                await asyncio.to_thread(other.create_job, SPEC)
    assert seen == before[::-1]
    filtered = await ask.first(99, "jobs", name_prefix="old-", sort="name", page_size=3)
    assert [job.name for job in filtered] == [f"old-{n}" for n in range(7)]
    assert len(await ask.first(99, "jobs", page_size=500)) == 14


def paged(scheduler: Scheduler, other: Scheduler) -> list[str | None]:
    return [job.id for job in scheduler.jobs(page_size=2) if other.create_job(SPEC).id]


async def test_labels_all_have_to_hold(address: str, asking: Opener) -> None:
    ask = asking(address)
    await ask("create_job", named("a", labels={"team": "x", "tier": "1"}))
    await ask("create_job", named("b", labels={"team": "x"}))
    found = await ask.first(9, "jobs", labels={"team": "x", "tier": "1"}, state="active")
    assert [job.name for job in found] == ["a"]


async def test_a_run_is_triggered_waited_for_listed_and_replayed(
    service: Replica, asking: Opener
) -> None:
    ask = asking(service.url(""))
    async with sinking() as sink:
        target = {"url": sink.url("/wait/300")}
        job = await ask("create_job", {"name": "a", "schedule": {"every": "1h"}, "target": target})
        run = await ask("trigger_job", job, body={"n": 1}, headers={"X-N": "1"})
        assert not run.ended
        with pytest.raises(Conflict) as overlap:
            await ask("trigger_job", job)
        assert overlap.value.code == "overlap"
        with pytest.raises(TimeoutError):
            await ask("wait", run, seconds=0.01)
        ended = await ask("wait", run, seconds=30)
        assert (ended.status, ended.succeeded) == ("succeeded", True)
        assert (ended.attempts[0].status_code, ended.attempts[0].outcome) == (200, "ok")
        again = await ask("wait", await ask("replay_run", ended), seconds=30)
        assert (again.replay_of, again.scheduled_for) == (ended.id, ended.scheduled_for)
        runs = await ask.first(9, "runs", "a", page_size=1)
        assert {one.id for one in runs} == {run.id, again.id}
        only = await ask.first(9, "runs", trigger="manual", since=run.scheduled_for)
        assert [one.id for one in only] == [run.id]
        with pytest.raises(Conflict):
            await ask("cancel_run", run)
        asked = await ask("request", "GET", "/forecast")
        assert asked.body["minutes"] is not None
    assert [len(one.attempts) for one in runs] == [1, 1]


def test_both_kinds_have_the_same_methods() -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: [str(one) for one in inspect.signature(function).parameters.values()]
            for name, function in found
            if not name.startswith("_")
        }

    assert shape(Scheduler) == shape(AsyncScheduler)


def test_what_a_newer_service_says_more_is_kept_and_what_an_older_says_less_is_no_fault() -> None:
    known = {
        "id": "x",
        "namespace": "default",
        "name": None,
        "state": "dreaming",
        "revision": 1,
        "schedule": {"moon": "full"},
        "target": {"url": "http://a/"},
        "created_at": "2026-01-05T09:00:00Z",
        "updated_at": "2026-01-05T09:00:00.125+01:00",
        "warnings": [{"code": "tide", "detail": "high", "depth": 3}],
        "mood": "good",
    }
    job = read(Job, known)
    assert (job.state, job.warnings[0].code, job.raw["mood"]) == ("dreaming", "tide", "good")
    assert job.updated_at.utcoffset() == timedelta(hours=1)
    wrongs: list[Any] = [{**known, "revision": "1"}, {**known, "warnings": 5}, [], {"id": "x"}]
    for wrong in wrongs:
        with pytest.raises(Unreadable):
            read(Job, wrong)
    with pytest.raises(Unreadable, match="no instant"):
        read(Job, {**known, "created_at": "soon"})


def test_where_the_service_is_comes_from_what_is_given_then_the_environment_then_a_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "kept.toml"
    file.write_text('url = "https://kept.example/base/"\nkey = "sk_kept"\n')
    kept = {"SCHEDULER_CONFIG": str(file)}
    assert find_place(environ=kept).url == "https://kept.example/base"
    said = find_place(environ=kept | {"SCHEDULER_URL": "http://said", "SCHEDULER_NAMESPACE": "n"})
    assert (said.url, said.key, said.namespace) == ("http://said", "sk_kept", "n")
    assert find_place("http://given", environ=kept).url == "http://given"
    assert "sk_kept" not in repr(said)
    assert find_place(environ={"HOME": str(tmp_path)}).url == "http://127.0.0.1:8080"
    file.write_text("password = 'x'")
    for environ in (
        kept,
        {"SCHEDULER_CONFIG": str(tmp_path / "none")},
        {"SCHEDULER_URL": "x:8080"},
    ):
        with pytest.raises(ValueError, match=r"only url|no such file|no address"):
            find_place(environ=environ)
