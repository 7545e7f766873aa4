"""POST /jobs/bulk-actions: what the single verbs do, to all jobs that a filter matches."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from factories import MORNING_MS, URL, Clock, Json, body, claim, create, forget, waiting_run
from scheduler_svc.api import bulk_actions
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.notices import CHANNEL
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.settlements import Held, release_runs

HOUR_MS = 3_600_000
TEAM = {"label": ["team:x"]}


@pytest.fixture(autouse=True)
def _morning(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.ms = MORNING_MS
    monkeypatch.setattr(bulk_actions, "BATCH", 3)


@pytest.fixture
async def heard(dsn: str) -> AsyncIterator[list[str]]:
    """What replicas hear."""
    said: list[str] = []
    conn = await asyncpg.connect(dsn, timeout=10)
    await conn.add_listener(CHANNEL, lambda *args: said.append(str(args[3])))
    yield said
    await conn.close(timeout=5)


async def act(http: httpx2.AsyncClient, action: str, where: Json, **more: Any) -> httpx2.Response:
    sent = {"action": action, "filter": where, **more}
    return await http.post("/jobs/bulk-actions", json=sent)


async def jobs(http: httpx2.AsyncClient, count: int, **changes: Any) -> list[Json]:
    return [await create(http, labels={"team": "x"}, **changes) for _ in range(count)]


async def states(http: httpx2.AsyncClient) -> list[str]:
    return [job["state"] for job in (await http.get("/jobs")).json()["items"]]


async def of(pool: Pool, job_id: str) -> tuple[Any, ...]:
    """All that the store keeps of a job beside its id and its definition."""
    row = await pool.fetchrow(
        """
        SELECT j.state, j.pause::text, j.revision, j.updated_at, t.scheduled_for, t.fire_at,
            t.revision, t.runs_made
        FROM jobs AS j JOIN job_timers AS t ON t.job_id = j.id WHERE j.id = $1
        """,
        job_id,
    )
    runs = await pool.fetch(
        "SELECT scheduled_for, trigger, status, reason, occurrences, queued, priority,"
        " next_attempt_at, finished_at, scheduled_until FROM runs WHERE job_id = $1 ORDER BY 1, 2",
        job_id,
    )
    looks = await pool.fetch(
        "SELECT quiet_from, watch_at FROM job_incidents WHERE job_id = $1", job_id
    )
    return (*(row or ()), *map(tuple, looks), *map(tuple, runs))


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel", "allow"])
async def test_each_action_leaves_a_job_as_the_single_verb_does(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, overlap: str
) -> None:
    alerts = {"url": URL, "never_ran": True}
    (many,) = await jobs(http, 1, overlap=overlap, alerts=alerts)
    alone = await create(http, overlap=overlap, alerts=alerts)
    steps = [("pause", 0), ("trigger", 0), ("resume", 150), ("trigger", 1), ("pause", 30)]
    for action, minutes in steps:
        clock.ms = (clock.ms or 0) + minutes * 60_000
        told = (await act(http, action, TEAM)).json()
        single = await http.post(f"/jobs/{alone['id']}/{action}")
        assert told == {"matched": 1, "done": int(single.status_code < 300)}
        assert await of(pool, many["id"]) == await of(pool, alone["id"]), action
    for job in (many, alone):  # what is on its way to whom it concerns is not called off
        await waiting_run(pool, UUID(job["id"]), at_ms=clock.ms or 0, trigger="alert")
    assert (await act(http, "delete", TEAM)).json() == {"matched": 1, "done": 1}
    await http.delete(f"/jobs/{alone['id']}")
    assert await of(pool, many["id"]) == await of(pool, alone["id"])


async def test_only_what_the_filter_matches_is_touched_and_only_what_changes_is_counted(
    http: httpx2.AsyncClient,
) -> None:
    await jobs(http, 7)
    other = await create(http, name="other")
    await http.post(f"/jobs/{(await jobs(http, 1))[0]['id']}/pause")
    answer = await act(http, "pause", TEAM, expect_count=8)
    assert (answer.status_code, answer.json()) == (200, {"matched": 8, "done": 7})
    assert (await http.get("/jobs/other")).json() == other
    assert sorted(await states(http)) == ["active"] + ["paused"] * 8
    assert (await act(http, "pause", TEAM)).json() == {"matched": 8, "done": 0}


@pytest.mark.parametrize(
    ("where", "matched"),
    [
        ({"state": "paused"}, 1),
        ({"name_prefix": "a"}, 2),
        ({"q": "needle"}, 1),
        ({"label": ["team:x", "tier:1"]}, 1),
        ({"label": ["team:nobody"]}, 0),
        ({"state": "active", "name_prefix": "a"}, 1),
    ],
)
async def test_the_filter_is_that_of_the_list(
    http: httpx2.AsyncClient, where: Json, matched: int
) -> None:
    await create(http, name="a1", labels={"team": "x", "tier": "1"})
    await create(http, name="a2", labels={"team": "x"})
    await create(http, name="b", description="a needle")
    await http.post("/jobs/a2/pause")
    assert (await act(http, "trigger", where)).json()["matched"] == matched


async def test_another_count_than_expected_changes_nothing(http: httpx2.AsyncClient) -> None:
    await jobs(http, 2)
    answer = await act(http, "delete", TEAM, expect_count=3)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "2 jobs, not 3" in answer.json()["detail"]
    assert await states(http) == ["active"] * 2


async def test_every_job_needs_their_number(http: httpx2.AsyncClient) -> None:
    await jobs(http, 2)
    answer = await act(http, "pause", {})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/expect_count"]
    assert (await act(http, "pause", {}, expect_count=2)).json() == {"matched": 2, "done": 2}


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({}, {"/action", "/filter"}),
        ({"action": "stop", "filter": {"names": 1}}, {"/action", "/filter/names"}),
        ({"action": "pause", "filter": {"label": ["x"]}}, {"/filter/label"}),
        ({"action": "pause", "filter": {"label": ["a:1", "a:2"]}}, {"/filter/label"}),
        ({"action": "pause", "filter": {}, "expect_count": -1}, {"/expect_count"}),
    ],
)
async def test_a_wrong_action_is_refused_with_every_fault(
    http: httpx2.AsyncClient, sent: Json, pointers: set[str]
) -> None:
    answer = await http.post("/jobs/bulk-actions", json=sent)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers


async def test_more_jobs_than_can_be_counted_on_are_refused(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "MATCHED_MAX", 2)
    await jobs(http, 3)
    answer = await act(http, "pause", TEAM)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/filter"]
    assert await states(http) == ["active"] * 3


async def test_a_batch_wakes_the_replicas_once(
    http: httpx2.AsyncClient, heard: list[str], pool: Pool
) -> None:
    await jobs(http, 3)
    await act(http, "pause", TEAM)
    await pool.execute("SELECT pg_notify('scheduler', 'mark')")
    await until(heard, "mark")
    heard.clear()
    await act(http, "trigger", TEAM)
    await act(http, "resume", TEAM)
    await pool.execute("SELECT pg_notify('scheduler', 'mark')")
    await until(heard, "mark")
    assert heard == [f"wake {MORNING_MS}", f"wake {MORNING_MS + HOUR_MS}", "mark"]


async def until(heard: list[str], word: str) -> None:
    async with asyncio.timeout(5):
        while word not in heard:  # noqa: ASYNC110 - a listener of asyncpg's own fills it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("action", ["pause", "delete", "trigger"])
async def test_it_is_answered_when_what_replicas_hold_of_the_jobs_was_given_up(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, heard: list[str], action: str
) -> None:
    made = await jobs(http, 4)
    replica = uuid4()
    clock.ms = MORNING_MS + HOUR_MS - 900
    held = [
        run.id for one in await claim(pool, now_ms=clock.ms, replica=replica) for run in one.runs
    ]
    assert len(held) == 4
    answer = asyncio.ensure_future(act(http, action, TEAM))
    for job in made:
        await until(heard, f"forget {job['id']}")
    assert not answer.done()
    for run_id in held:
        await forget(pool, run_id, replica)
    assert (await answer).json() == {"matched": 4, "done": 4}
    left = {row[0] for row in await pool.fetch("SELECT id FROM runs")}
    assert not left & set(held)


@pytest.mark.parametrize("action", ["pause", "delete", "trigger"])
async def test_what_was_given_back_before_its_instant_is_decided_anew(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, action: str
) -> None:
    (job,) = await jobs(http, 1)
    replica = uuid4()
    clock.ms = MORNING_MS + HOUR_MS - 900
    (claimed,) = (await claim(pool, now_ms=clock.ms, replica=replica))[0].runs
    async with transaction(pool) as conn:
        key = Held(claimed.id, claimed.scheduled_ms, 1)
        assert await release_runs(conn, [key], replica=replica)
    assert (await act(http, action, TEAM)).json() == {"matched": 1, "done": 1}
    left = await pool.fetch("SELECT id, status FROM runs WHERE job_id = $1", UUID(job["id"]))
    assert claimed.id not in {row["id"] for row in left}
    if action == "trigger":
        at = await pool.fetchval("SELECT scheduled_for FROM job_timers")
        assert at == instant_at(MORNING_MS + HOUR_MS), "the cadence is sacred"


async def test_triggers_that_the_overlap_policy_forbids_are_left_out(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    skip, _ = (await jobs(http, 1))[0], await jobs(http, 1, overlap="allow")
    await http.post(f"/jobs/{skip['id']}/trigger")
    assert (await act(http, "trigger", TEAM)).json() == {"matched": 2, "done": 1}
    assert await pool.fetchval("SELECT count(*) FROM runs") == 2


async def test_a_deleted_jobs_waiting_runs_and_backfills_end(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = (await jobs(http, 1, schedule={"cron": "0 * * * *"}))[0]
    await http.post(f"/jobs/{job['id']}/trigger")
    asked = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    await http.post(f"/jobs/{job['id']}/backfill", json=asked)
    await act(http, "delete", TEAM)
    runs = await pool.fetch("SELECT status, reason FROM runs WHERE job_id = $1", UUID(job["id"]))
    assert [tuple(run) for run in runs] == [("cancelled", "job_deleted")]
    assert await pool.fetchval("SELECT reason FROM backfills") == "job_deleted"


async def test_a_thousand_jobs_are_paused_and_resumed_in_good_time(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "BATCH", 200)
    sent = {"jobs": [body(labels={"team": "x"})] * 1000}
    assert (await http.post("/jobs/bulk", json=sent)).status_code == 201
    for action in ("pause", "resume", "trigger", "delete"):
        told = (await act(http, action, TEAM, expect_count=1000)).json()
        assert told == {"matched": 1000, "done": 1000}
