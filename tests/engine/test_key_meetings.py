"""Keys where they meet callbacks, alerts and replays by filter: one rule for all that is called."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from factories import MORNING_MS, Json, waiting_run
from pressing import KEY, Door, limit, pass_time, replicas, send_all
from receiver import OK, Receiver, answer, in_turn, raw
from reports import Reporting, reporting
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.pressure import BreakerRules, Key
from scheduler_svc.engine import dispatch, keys, replay, watch
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.pressure import read_keys

EVERY = {"every": "1h"}
KEYED = {"concurrency_key": "k"}
HOST = Key("default", "127.0.0.1")
ONCE = {"max_attempts": 1}
RULES = PressureRules(
    share=1.0, breaker=BreakerRules(failures=3, wait_ms=10_000, wait_max_ms=40_000)
)


@pytest.fixture
async def breaking(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    """A replica whose breakers open at the third failure."""
    async with rigged(engine_pool, receiver, pressure=RULES) as built:
        yield built


async def _breaker(rig: Rig, key: Key = KEY) -> str:
    async with transaction(rig.parts.pool) as conn:
        found = (await read_keys(conn, [key])).get(key)
    return "none" if found is None else found.breaker.state


async def _opened(rig: Rig) -> None:
    """Have calls to the key fail until its breaker is open; the first probe is 10 s away."""
    rig.receiver.on("/", answer(503))
    for _ in range(3):
        await rig.job(schedule={"every": "30d"}, target=KEYED, retry=ONCE, at_ms=rig.clock.ms)
    await rig.work()
    await rig.tick()
    assert await _breaker(rig) == "open"


def _telling(rig: Rig, **more: Any) -> Json:
    return {"url": rig.receiver.url("/alerts"), "failures_in_row": 1000, **more}


async def _shown(api: Reporting, run_id: UUID) -> Json:
    found: Json = (await api.http.get(f"/runs/{run_id}")).json()
    return found


async def test_an_alert_whose_host_has_an_open_breaker_waits_says_so_and_is_sent_by_the_probe(
    breaking: Rig,
) -> None:
    rig = breaking
    rig.chance.value = 0.9  # the retries of alerts wait for chance
    rig.receiver.on("/", answer(404))
    rig.receiver.on("/alerts", answer(503))
    job = await rig.job(
        schedule=EVERY, target=KEYED, retry=ONCE, alerts=_telling(rig, every_failure=True)
    )
    for _ in range(3):  # each failure is told, and each telling fails
        await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms)
        await rig.work()
        await rig.work()
        await rig.pass_time(1)
    await rig.tick()
    assert (await _breaker(rig, HOST), await _breaker(rig)) == ("open", "none")
    await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms)
    await rig.work()
    await rig.work()
    assert len(rig.receiver.of("/")) == 4  # the job's own key is nobody's business
    assert len(rig.receiver.of("/alerts")) == 3
    alert = next(
        row for row in await rig.runs() if row["trigger"] == "alert" and not row["attempts"]
    )
    assert (alert["status"], alert["attempt_count"]) == ("due", 0)
    async with reporting(rig) as api:
        shown = (await _shown(api, alert["id"]))["deferral"]
        assert (shown["reason"], shown["key"], shown["until"]) == ("breaker", HOST.name, None)
        rig.receiver.on("/alerts", raw(OK))
        await rig.pass_time(10 * SECOND)
        await rig.work()
        assert len(rig.receiver.of("/alerts")) == 4
        await rig.tick()
        assert await _breaker(rig, HOST) == "closed"
        await rig.pass_time(10 * SECOND)
        await rig.work()
        assert (await _shown(api, alert["id"]))["status"] == "succeeded"
        assert (await _shown(api, alert["id"]))["deferral"]["until"] is not None
    assert len(rig.receiver.of("/alerts")) == 7


async def test_a_run_that_awaits_its_report_has_left_its_keys_place_to_the_next(
    rig: Rig, receiver: Receiver
) -> None:
    receiver.on("/", answer(202))
    await limit(rig.parts.pool, parallel=1)
    for _ in range(2):
        await rig.job(schedule=EVERY, target={**KEYED, "completion": "callback"})
    await rig.pass_time(HOUR)
    await rig.tick()
    assert len(rig.held()) == 1
    await rig.send()
    assert sorted(status for status, _ in await rig.said()) == ["due", "running"]
    await rig.work()
    assert await rig.said() == [("running", None)] * 2
    assert {row["replica"] for row in await rig.runs()} == {None}
    async with reporting(rig) as api:
        shown = (await api.http.get("/concurrency-keys/k")).json()
        assert (shown["running"], shown["waiting"]) == (0, 0)
        for request in range(2):
            said = await api({"status": "succeeded"}, request=request)
            assert said.json()["status"] == "succeeded"


async def test_a_replay_by_filter_keeps_the_limit_of_its_key_and_the_share_of_the_past(
    engine_pool: Pool, receiver: Receiver
) -> None:
    door = Door()
    receiver.on("/", door.behave)
    async with replicas(engine_pool, receiver, count=2) as rigs:
        one = rigs[0]
        await limit(engine_pool, parallel=2)
        job = await one.job(schedule={"every": "30d"}, target=KEYED)
        for n in range(6):
            await waiting_run(engine_pool, job, at_ms=MORNING_MS - HOUR - n * MINUTE)
        await engine_pool.execute(
            "UPDATE runs SET status = 'failed', reason = 'attempts', finished_at = scheduled_for,"
            " next_attempt_at = NULL"
        )
        async with reporting(one) as api:
            body = {"filter": {"trigger": "manual"}, "max_per_minute": 6000}
            assert (await api.http.post("/runs/replay", json=body)).status_code == 202
        await pass_time(rigs, SECOND)
        await replay.make_steps(one.parts)
        await pass_time(rigs, SECOND)
        for _ in range(3):
            for _ in range(2):
                for rig in rigs:
                    await rig.tick()
            behind = sum(rig.parts.hand.slots // 2 - rig.parts.hand.background_free for rig in rigs)
            assert behind == sum(len(rig.held()) for rig in rigs) == 2
            await send_all(rigs, door, 2)
            await pass_time(rigs, SECOND)
        assert door.most == 2
        replayed = [row for row in await one.runs() if row["replay_id"] is not None]
        assert [row["status"] for row in replayed] == ["succeeded"] * 6


@pytest.mark.parametrize("overlap", ["allow", "queue"])
async def test_a_run_that_a_breaker_held_back_for_too_long_is_told_and_frees_who_waits_behind_it(
    breaking: Rig, overlap: str
) -> None:
    rig = breaking
    await _opened(rig)
    job = await rig.job(
        schedule={"every": "4s"},
        target=KEYED,
        overlap=overlap,
        alerts=_telling(rig, every_failure=True),
    )
    await rig.pass_time(4 * SECOND)
    await rig.work()
    rig.receiver.on("/", raw(OK))
    await rig.pass_time(7 * SECOND)
    await rig.tick()
    first = (await rig.runs(job))[0]
    assert (first["status"], first["reason"]) == ("failed", "next_occurrence")
    assert [told["run_id"] for told in rig.told(EventName.RUN_FAILED)[3:]] == [first["id"]]
    assert [told["condition"] for told in rig.told(EventName.ALERT_RAISED)] == ["failed"]
    assert not [row for row in await rig.runs(job) if row["queued"]]


async def test_a_probe_whose_time_is_over_before_it_leaves_makes_room_for_another(
    breaking: Rig,
) -> None:
    rig = breaking
    rig.receiver.on("/", answer(503))
    bounded = {"initial_delay": "5s", "jitter": "none", "deadline": "10s"}
    await rig.job(schedule={"every": "30d"}, target=KEYED, retry=bounded, at_ms=rig.clock.ms)
    for _ in range(2):
        await rig.job(
            schedule={"every": "30d"},
            target=KEYED,
            retry={"initial_delay": "20s", "jitter": "none"},
            at_ms=rig.clock.ms,
        )
    await rig.work()
    await rig.tick()
    rig.receiver.on("/", raw(OK))
    await rig.pass_time(10 * SECOND)
    await rig.tick()
    assert (len(rig.held()), await _breaker(rig)) == (1, "probing")
    await rig.pass_time(11 * SECOND)
    await rig.send()
    assert (await rig.said()).count(("failed", "deadline")) == 1
    await rig.work()
    await rig.tick()
    assert await _breaker(rig) == "closed"
    assert len(rig.receiver.requests) == 4


async def test_a_probe_that_is_cancelled_before_it_leaves_makes_room_for_another(
    breaking: Rig,
) -> None:
    rig = breaking
    await _opened(rig)
    job = await rig.job(schedule={"every": "30d"}, target=KEYED)
    for _ in range(2):
        await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms)
    await rig.tick()
    rig.receiver.on("/", raw(OK))
    await rig.pass_time(10 * SECOND)
    await rig.tick()
    (probe,) = rig.held()
    dispatch.cancel(rig.parts, rig.outbox, probe.claim.id)
    await rig.settle()
    assert await _breaker(rig) == "probing"
    await rig.work()
    await keys.keep(rig.parts)
    assert await _breaker(rig) == "closed"
    assert len(rig.receiver.requests) == 4


async def test_a_retry_that_waited_for_room_goes_where_the_next_occurrence_was_skipped_for_it(
    rig: Rig, receiver: Receiver
) -> None:
    receiver.on("/", in_turn(answer(500), raw(OK)))
    await limit(rig.parts.pool, parallel=1)
    plain = {"initial_delay": "5s", "jitter": "none"}
    job = await rig.job(schedule=EVERY, target=KEYED, retry=plain)
    await rig.pass_time(HOUR)
    await rig.work()
    assert (await rig.said(job)) == [("due", None)]
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said(job) == [("succeeded", None), ("skipped", "overlap")]


async def test_a_run_that_was_called_off_waited_until_then(breaking: Rig) -> None:
    rig = breaking
    await _opened(rig)
    job = await rig.job(schedule={"every": "30d"}, target=KEYED)
    run = await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms)
    await rig.tick()
    await rig.pass_time(SECOND)
    async with reporting(rig) as api:
        assert (await _shown(api, run))["deferral"]["until"] is None
        assert (await api.http.post(f"/runs/{run}/cancel")).status_code == 200
        shown = await _shown(api, run)
    assert shown["deferral"]["until"] == shown["finished_at"]


async def test_a_target_that_takes_a_run_and_reports_failure_is_no_failure_of_its_host(
    breaking: Rig,
) -> None:
    rig = breaking
    rig.receiver.on("/", answer(202))
    await rig.job(
        schedule=EVERY,
        target={**KEYED, "completion": "callback", "completion_timeout": "10m"},
        overlap="allow",
    )
    for _ in range(4):
        await rig.pass_time(HOUR)
        await watch.expire(rig.parts)
        await rig.work()
    assert (await rig.said())[:3] == [("failed", "completion_timeout")] * 3
    await rig.tick()
    assert await _breaker(rig) == "none"
