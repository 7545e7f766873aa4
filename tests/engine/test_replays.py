"""Replays by filter: each dead run once, at a rate, behind everything else, by any replica."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from asyncpg import Record

from factories import MORNING_MS, Json, waiting_run
from receiver import OK, answer, in_turn, raw
from reports import Reporting, reporting
from rig import HOUR, MINUTE, SECOND, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.runs import rank
from scheduler_svc.engine import backfill, replay

EVERY = {"every": "1h"}
ONCE = {"max_attempts": 1}
FAST = 6000


@pytest.fixture
async def api(rig: Rig) -> Any:
    async with reporting(rig) as opened:
        yield opened


async def dead(
    rig: Rig, job: UUID, count: int, *, status: str = "failed", **more: Any
) -> list[UUID]:
    """Write ended runs of a job, a minute apart, the last an hour ago."""
    made = []
    for n in range(count):
        at_ms = MORNING_MS - HOUR - n * MINUTE
        made.append(await waiting_run(rig.parts.pool, job, at_ms=at_ms, **more))
    await rig.parts.pool.execute(
        "UPDATE runs SET status = $1, reason = CASE $1 WHEN 'succeeded' THEN NULL ELSE 'attempts'"
        " END, finished_at = scheduled_for, next_attempt_at = NULL WHERE status = 'due'",
        status,
    )
    return made


async def ask(api: Reporting, **changes: Any) -> Json:
    body = {"filter": {"trigger": "manual"}, "max_per_minute": FAST, **changes}
    answer = await api.http.post("/runs/replay", json=body)
    assert answer.status_code == 202, answer.text
    made: Json = answer.json()
    return made


async def seen(api: Reporting, made: Json) -> Json:
    found: Json = (await api.http.get(f"/replays/{made['id']}")).json()
    return found


async def work_off(rig: Rig, api: Reporting, made: Json) -> Json:
    """Step, claim, send and settle, a second each time, until it has ended."""
    for _ in range(100):
        await replay.make_steps(rig.parts)
        await rig.work()
        if (after := await seen(api, made))["status"] != "running":
            return after
        await rig.pass_time(SECOND)
    pytest.fail("the replay did not end")


async def replayed(rig: Rig) -> list[Record]:
    return [row for row in await rig.runs() if row["replay_of"] is not None]


async def test_every_run_that_matches_is_sent_once_more_and_the_progress_is_exact(
    rig: Rig, api: Reporting
) -> None:
    job = await rig.job(schedule=EVERY, name="r")
    originals = await dead(rig, job, 40)
    made = await ask(api)
    assert (made["total"], made["status"]) == (40, "running")
    after = await work_off(rig, api, made)
    assert (after["status"], after["created"], after["done"]) == ("completed", 40, 40)
    rows = await replayed(rig)
    assert {row["replay_of"] for row in rows} == set(originals)
    assert {row["status"] for row in rows} == {"succeeded"}
    assert {(row["trigger"], row["job_name"]) for row in rows} == {("replay", "r")}
    by_id = {row["id"]: row for row in await rig.runs()}
    assert all(row["scheduled_for"] == by_id[row["replay_of"]]["scheduled_for"] for row in rows)
    assert rig.receiver.requests[0].headers["scheduler-trigger"] == "replay"
    assert rig.told(EventName.REPLAY_COMPLETED) == [{"replay_id": UUID(made["id"]), "created": 40}]


async def test_a_job_with_a_nul_in_its_body_is_replayed_like_any_other(
    rig: Rig, api: Reporting
) -> None:
    """PostgreSQL reads no JSON that has one, and the priority is read by it."""
    job = await rig.job(schedule=EVERY, priority=7, target={"body": {"text": "a\0b"}})
    await dead(rig, job, 1)
    after = await work_off(rig, api, await ask(api))
    assert (after["status"], after["done"]) == ("completed", 1)
    assert [row["priority"] for row in await replayed(rig)] == [rank(7, "backfill")]


async def test_the_rate_holds_and_no_more_than_a_few_are_unfinished(
    rig: Rig, api: Reporting
) -> None:
    job = await rig.job(schedule=EVERY)
    await dead(rig, job, 60)
    made = await ask(api, max_per_minute=60)
    for _ in range(10):
        await replay.make_steps(rig.parts)
        await rig.work()
        await rig.pass_time(SECOND)
    assert 10 <= (await seen(api, made))["created"] <= 13
    fast = await ask(api)
    for _ in range(5):
        await replay.make_steps(rig.parts)
        await rig.pass_time(SECOND)
    unfinished = await rig.parts.pool.fetchval(
        "SELECT count(*) FROM runs WHERE replay_id = $1 AND status = 'due'", UUID(fast["id"])
    )
    assert unfinished <= 25  # a quarter of the slots


async def test_of_one_run_only_one_replay_is_under_way_and_what_was_mended_is_left_alone(
    rig: Rig, api: Reporting
) -> None:
    job = await rig.job(schedule=EVERY, retry=ONCE)
    mended, waits, again, cancelled = await dead(rig, job, 4)
    await api.http.post(f"/runs/{mended}/replay")
    rig.receiver.on("/", raw(OK))
    await rig.work()
    rig.receiver.on("/", answer(500))
    await api.http.post(f"/runs/{again}/replay")
    await rig.work()
    second = next(row for row in await replayed(rig) if row["replay_of"] == again)
    assert second["status"] == "failed"
    stopped = (await api.http.post(f"/runs/{cancelled}/replay")).json()
    await api.http.post(f"/runs/{stopped['id']}/cancel")
    await api.http.post(f"/runs/{waits}/replay")
    rig.receiver.on("/", raw(OK))
    made = await ask(api)
    assert made["total"] == 2
    after = await work_off(rig, api, made)
    assert (after["created"], after["left_out"]) == (2, 2)
    sent = {row["replay_of"] for row in await replayed(rig) if row["replay_id"] is not None}
    assert sent == {again, cancelled}


async def test_a_replay_of_a_replay_that_succeeded_mends_the_first_run_too(
    rig: Rig, api: Reporting
) -> None:
    job = await rig.job(schedule=EVERY, retry=ONCE)
    (first,) = await dead(rig, job, 1)
    rig.receiver.on("/", in_turn(answer(500), raw(OK)))
    again = (await api.http.post(f"/runs/{first}/replay")).json()
    await rig.work()
    await api.http.post(f"/runs/{again['id']}/replay")
    await rig.work()
    assert (await ask(api, filter={"status": "failed"}, expect_count=0))["status"] == "completed"


async def test_what_ends_after_it_was_asked_for_is_not_taken(rig: Rig, api: Reporting) -> None:
    job = await rig.job(schedule=EVERY, retry=ONCE)
    await dead(rig, job, 2)
    made = await ask(api)
    await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms)
    await rig.pass_time(SECOND)
    rig.receiver.on("/", answer(500))
    await rig.work()
    after = await work_off(rig, api, made)
    assert (after["total"], after["created"]) == (2, 2)
    assert [row["status"] for row in await replayed(rig)] == ["failed", "failed"]


async def test_it_stands_behind_on_time_work_and_does_not_hold_back_the_cadence(
    rig: Rig, api: Reporting
) -> None:
    job = await rig.job(schedule=EVERY, overlap="skip", priority=7)
    await dead(rig, job, 2)
    await ask(api)
    await replay.make_steps(rig.parts)
    assert {row["priority"] for row in await replayed(rig)} == {7 - 1000}
    await rig.pass_time(HOUR)
    await rig.work()
    on_time = [row["status"] for row in await rig.runs() if row["trigger"] == "schedule"]
    assert on_time == ["succeeded"]


async def test_two_replicas_step_the_same_replay_and_double_nothing(
    rig: Rig, other: Rig, api: Reporting
) -> None:
    job = await rig.job(schedule=EVERY)
    await dead(rig, job, 50)
    made = await ask(api)
    for _ in range(20):
        await asyncio.gather(*(replay.make_steps(one.parts) for one in (rig, other) * 2))
        await asyncio.gather(rig.work(), other.work())
        await rig.pass_time(SECOND)
        await other.pass_time(0)
    after = await seen(api, made)
    assert (after["status"], after["created"]) == ("completed", 50)
    rows = await replayed(rig)
    assert len(rows) == len({row["replay_of"] for row in rows}) == 50


async def test_a_cancel_ends_what_waits_and_makes_no_more(rig: Rig, api: Reporting) -> None:
    job = await rig.job(schedule=EVERY)
    await dead(rig, job, 40)
    made = await ask(api)
    await replay.make_steps(rig.parts)
    created = (await seen(api, made))["created"]
    answer = await api.http.post(f"/replays/{made['id']}/cancel")
    assert (answer.json()["status"], answer.json()["reason"]) == ("cancelled", "cancelled")
    await rig.pass_time(MINUTE)
    await replay.make_steps(rig.parts)
    rows = await replayed(rig)
    assert len(rows) == created
    assert {row["status"] for row in rows} == {"cancelled"}


async def test_what_a_trigger_had_overridden_goes_along(rig: Rig, api: Reporting) -> None:
    job = await rig.job(schedule=EVERY)
    await dead(rig, job, 1)
    await rig.parts.pool.execute("""UPDATE runs SET overrides = '{"body": "[7]"}'""")
    await work_off(rig, api, await ask(api))
    assert rig.receiver.requests[-1].body == b"[7]"


async def test_failed_alerts_are_sent_again_as_alerts_though_their_job_is_gone(
    rig: Rig, api: Reporting
) -> None:
    told = {"url": rig.receiver.url("/alerts"), "failures_in_row": 1}
    job = await rig.job(schedule=EVERY, retry=ONCE, alerts=told)
    rig.receiver.on("/", answer(500))
    rig.receiver.on("/alerts", answer(400))
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.work()
    await rig.parts.pool.execute("DELETE FROM jobs")
    rig.receiver.on("/alerts", raw(OK))
    made = await ask(api, filter={"trigger": "alert"})
    after = await work_off(rig, api, made)
    assert after["created"] == 1
    first, second = rig.receiver.of("/alerts")
    assert first.body == second.body
    again = next(row for row in await replayed(rig))
    assert (again["trigger"], again["status"], again["job_id"]) == ("alert", "succeeded", job)


async def test_old_replays_are_forgotten(rig: Rig, api: Reporting) -> None:
    made = await ask(api, expect_count=0)
    await rig.pass_time(31 * 24 * HOUR)
    await replay.prune(rig.parts, retention_days=30)
    assert (await api.http.get(f"/replays/{made['id']}")).status_code == 404


async def test_a_secret_that_a_trigger_gave_goes_with_every_replay_of_its_run(
    rig: Rig, api: Reporting
) -> None:
    rig.receiver.on("/", answer(404))
    job = await rig.job(schedule=EVERY, retry=ONCE)
    headers = {"X-Api-Key": "canary-of-a-trigger"}
    made = await api.http.post(f"/jobs/{job}/trigger", json={"headers": headers})
    await rig.work()
    await api.http.post(f"/runs/{made.json()['id']}/replay")
    await rig.work()
    await work_off(rig, api, await ask(api))
    sent = [request.headers["x-api-key"] for request in rig.receiver.requests]
    assert sent == ["canary-of-a-trigger"] * 3
    stored = await rig.parts.pool.fetch("SELECT overrides::text FROM runs")
    assert not [row for row in stored if "canary" in str(row[0])]


@pytest.mark.parametrize("held", [True, False])
async def test_what_is_held_of_one_namespace_leaves_the_share_to_the_others(
    rig: Rig, api: Reporting, *, held: bool
) -> None:
    """For days, perhaps; what may go has its share."""
    job = await rig.job(schedule=EVERY)
    await dead(rig, job, 1)
    for n in range(rig.parts.hand.slots // backfill.SLOTS_SHARE):
        await waiting_run(rig.parts.pool, job, at_ms=MORNING_MS + n, trigger="replay")
    await rig.parts.pool.execute(
        "UPDATE runs SET namespace = 'slow', replay_id = gen_random_uuid(), held = $1, queued = $1"
        " WHERE status = 'due'",
        held,
    )
    await ask(api)
    assert await replay.make_steps(rig.parts) == held
