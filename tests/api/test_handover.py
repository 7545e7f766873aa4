"""After the answer to a change nothing of the old revision is held for a later instant."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from factories import MORNING_MS, URL, Clock, body, claim, create, forget
from scheduler_svc.domain.ids import scheduled_ms_of
from scheduler_svc.store import settlements
from scheduler_svc.store.notices import CHANNEL
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.settlements import Held

HOUR_MS = 3_600_000
Notices = asyncio.Queue[str]
CHANGES: dict[str, tuple[str, str, Any]] = {
    "pause": ("POST", "/jobs/h/pause", None),
    "delete": ("DELETE", "/jobs/h", None),
    "schedule": ("PUT", "/jobs/h", body(schedule={"every": "2h"})),
    "target": ("PATCH", "/jobs/h", {"target": {"url": f"{URL}/new"}}),
}
WORDS = {"pause": "forget", "delete": "forget", "schedule": "forget", "target": "release"}


@pytest.fixture
async def notices(dsn: str) -> AsyncIterator[Notices]:
    """What replicas hear."""
    heard: Notices = asyncio.Queue()
    conn = await asyncpg.connect(dsn, timeout=10)
    await conn.add_listener(CHANNEL, lambda *args: heard.put_nowait(str(args[3])))
    yield heard
    await conn.close(timeout=5)


async def hear(notices: Notices, word: str) -> str:
    """Wait for a notice that begins so, and return the rest of it."""
    async with asyncio.timeout(5):
        while True:
            said, _, rest = (await notices.get()).partition(" ")
            if said == word:
                return rest


async def a_held_run(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, replica: UUID, **changes: Any
) -> tuple[str, UUID]:
    clock.ms = MORNING_MS
    made = await create(http, name="h", **changes)
    clock.ms = MORNING_MS + HOUR_MS - 900
    (decision,) = await claim(pool, now_ms=clock.ms, replica=replica)
    return made["id"], decision.runs[0].id


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_answered_when_the_holder_has_given_up_what_it_held(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, notices: Notices, change: str
) -> None:
    replica = uuid4()
    job_id, held = await a_held_run(http, pool, clock, replica)
    method, path, sent = CHANGES[change]
    answer = asyncio.ensure_future(http.request(method, path, json=sent))
    assert await hear(notices, WORDS[change]) == job_id
    assert not answer.done()
    if WORDS[change] == "forget":
        await forget(pool, held, replica)
    else:
        async with transaction(pool) as conn:
            keys = [Held(held, scheduled_ms_of(held), 1)]
            assert await settlements.release_runs(conn, keys, replica=replica)
    assert (await answer).status_code in {200, 204}
    assert clock.ms == MORNING_MS + HOUR_MS - 900


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_answered_when_the_instant_of_what_is_held_has_come(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, notices: Notices, change: str
) -> None:
    _, held = await a_held_run(http, pool, clock, uuid4())
    method, path, sent = CHANGES[change]
    answer = asyncio.ensure_future(http.request(method, path, json=sent))
    await hear(notices, WORDS[change])
    assert not answer.done()
    clock.ms = MORNING_MS + HOUR_MS
    assert (await answer).status_code in {200, 204}
    assert await pool.fetchval("SELECT status FROM runs WHERE id = $1", held) == "running"


async def test_a_holder_that_never_answers_delays_a_change_by_the_lookahead_at_most(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await a_held_run(http, pool, clock, uuid4())
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert (await http.post("/jobs/h/pause")).status_code == 200
    assert 1.0 < loop.time() - begin < 3.0


async def test_what_the_new_schedule_names_too_is_claimed_again_under_it(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, notices: Notices
) -> None:
    replica = uuid4()
    job_id, held = await a_held_run(
        http, pool, clock, replica, schedule={"cron": "0 * * * *", "max_runs": 1}
    )
    sent = body(schedule={"cron": "*/30 * * * *", "max_runs": 1})
    answer = asyncio.ensure_future(http.put("/jobs/h", json=sent))
    await hear(notices, "forget")
    assert await claim(pool, now_ms=clock.ms or 0) == [], "its holder has it still"
    await forget(pool, held, replica)
    told = (await answer).json()
    assert (told["state"], told["next_fire_at"]) == ("active", "2026-01-05T09:00:00Z")
    (decision,) = await claim(pool, now_ms=clock.ms or 0)
    assert [run.id for run in decision.runs] == [held]
    row = await pool.fetchrow("SELECT revision, runs_made FROM job_timers")
    assert row is not None
    assert tuple(row) == (2, 1)
    assert str(decision.job.id) == job_id


async def test_an_edit_of_other_fields_leaves_the_held_occurrence_to_go_out_as_now_defined(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, notices: Notices
) -> None:
    replica = uuid4()
    _, held = await a_held_run(http, pool, clock, replica)
    before = await pool.fetchrow("SELECT scheduled_for, runs_made FROM job_timers")
    answer = asyncio.ensure_future(http.patch("/jobs/h", json={"priority": 3}))
    await hear(notices, "release")
    async with transaction(pool) as conn:
        await settlements.release_runs(
            conn, [Held(held, scheduled_ms_of(held), 1)], replica=replica
        )
    assert (await answer).status_code == 200
    assert await pool.fetchrow("SELECT scheduled_for, runs_made FROM job_timers") == before
    assert await pool.fetchval("SELECT status FROM runs WHERE id = $1", held) == "due"


async def test_a_change_tells_the_replicas_when_to_look_again(
    http: httpx2.AsyncClient, clock: Clock, notices: Notices
) -> None:
    clock.ms = MORNING_MS
    made = await create(http, name="h", schedule={"every": "2m"})
    assert await hear(notices, "wake") == str(MORNING_MS + HOUR_MS // 30)
    await http.patch("/jobs/h", json={"schedule": {"every": "10m"}})
    assert await hear(notices, "wake") == str(MORNING_MS + HOUR_MS // 6)
    run = (await http.post("/jobs/h/trigger")).json()
    assert await hear(notices, "wake") == str(MORNING_MS)
    assert run["job_id"] == made["id"]


async def test_cancelling_a_running_run_tells_its_holder(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, notices: Notices
) -> None:
    _, held = await a_held_run(http, pool, clock, uuid4())
    assert (await http.post(f"/runs/{held}/cancel")).status_code == 202
    assert await hear(notices, "cancel") == str(held)


async def test_requests_that_create_one_name_at_once_make_one_job(
    http: httpx2.AsyncClient,
) -> None:
    answers = await asyncio.gather(
        *(http.put("/jobs/race", json=body(priority=n)) for n in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert (await http.get("/jobs/race")).json()["revision"] == 6


async def test_triggers_at_once_under_skip_make_one_run(http: httpx2.AsyncClient) -> None:
    await create(http, name="once")
    answers = await asyncio.gather(*(http.post("/jobs/once/trigger") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 5


async def test_changes_with_one_tag_at_once_succeed_once(http: httpx2.AsyncClient) -> None:
    await create(http, name="tagged")
    answers = await asyncio.gather(
        *(
            http.patch("/jobs/tagged", json={"priority": n + 1}, headers={"If-Match": '"1"'})
            for n in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5
