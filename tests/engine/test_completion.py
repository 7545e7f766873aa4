"""Completion by callback: the target took the run, and its own report ends it."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from asyncpg import Record

from receiver import OK, answer, held, in_turn, raw, receiving
from reports import reporting
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.completion import Callbacks, report_to
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.engine import upkeep, watch
from scheduler_svc.store import completion, runs, settlements
from scheduler_svc.store.pool import Pool, connection, transaction
from scheduler_svc.store.settlements import Settlement

EVERY = {"every": "1h"}
CALLBACK = {"completion": "callback", "completion_timeout": "10m"}
PLAIN = {"max_attempts": 3, "initial_delay": "5s", "jitter": "none"}


async def taken(rig: Rig, **changes: Any) -> None:
    """Have one occurrence sent and taken by its target, which has yet to report."""
    target = {**CALLBACK, **changes.pop("target", {})}
    await rig.job(**{"schedule": EVERY, "target": target, "retry": PLAIN, **changes})
    await rig.pass_time(HOUR)
    await rig.work()


@pytest.fixture
async def report(rig: Rig) -> Any:
    async with reporting(rig) as said:
        yield said


async def test_a_success_leaves_the_run_running_without_a_replica_and_its_slot_free(
    rig: Rig,
) -> None:
    rig.receiver.on("/", answer(202))
    await taken(rig)
    run = await rig.run()
    assert (run["status"], run["reason"], run["replica"]) == ("running", None, None)
    assert run["completion_until"] == instant_at(rig.clock.ms + 10 * MINUTE)
    assert [json.loads(text)["outcome"] for text in run["attempts"]] == ["ok"]
    assert rig.held() == []
    assert [told["run_id"] for told in rig.told(EventName.RUN_AWAITING)] == [run["id"]]
    assert rig.told(EventName.RUN_SUCCEEDED) == []


async def test_the_request_says_where_and_with_which_token_to_report(rig: Rig) -> None:
    await taken(rig)
    (request,) = rig.receiver.requests
    run = await rig.run()
    assert (
        request.headers["scheduler-completion-url"]
        == f"http://127.0.0.1:8080/runs/{run['id']}/complete"
    )
    assert request.headers["scheduler-completion-token"].startswith("ct_1_")


async def test_other_jobs_get_no_token(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    assert not [name for name in rig.receiver.requests[0].headers if "completion" in name]
    assert await rig.said() == [("succeeded", None)]


@pytest.mark.parametrize(
    ("status", "ends"), [("succeeded", ("succeeded", None)), ("failed", ("failed", "completion"))]
)
async def test_a_report_ends_the_run(rig: Rig, report: Any, status: str, ends: Any) -> None:
    await taken(rig)
    await rig.pass_time(3 * MINUTE)
    said = await report({"status": status, "detail": "well"})
    assert said.status_code == 200
    run = await rig.run()
    assert (run["status"], run["reason"]) == ends
    assert run["finished_at"] == instant_at(rig.clock.ms)
    assert run["duration_ms"] == 3 * MINUTE
    assert said.json()["completion"]["detail"] == "well"


async def test_a_report_before_the_answer_is_read_ends_the_run_with_it(
    rig: Rig, report: Any
) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, answer(202)))
    await rig.job(schedule=EVERY, target=CALLBACK)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        said = await report({"status": "succeeded", "detail": "quick"})
        assert (said.status_code, said.json()["status"]) == (200, "running")
        gate.set()
    run = await rig.run()
    assert (run["status"], run["completion_until"]) == ("succeeded", None)
    assert (run["completion_detail"], len(run["attempts"])) == ("quick", 1)


@pytest.mark.parametrize(
    "late_answer", [answer(500), answer(404), answer(202)], ids=["500", "404", "202"]
)
async def test_what_the_target_reported_counts_whatever_it_answers_then(
    rig: Rig, report: Any, late_answer: Any
) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, late_answer))
    await rig.job(schedule=EVERY, target=CALLBACK, retry=PLAIN)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        await report({"status": "failed", "detail": "no"})
        gate.set()
    assert await rig.said() == [("failed", "completion")]
    assert [told["reason"] for told in rig.told(EventName.RUN_FAILED)] == ["completion"]


async def test_a_failed_answer_is_retried_with_a_token_of_its_own(rig: Rig, report: Any) -> None:
    rig.receiver.on("/", in_turn(answer(503), answer(202)))
    await taken(rig)
    assert await rig.said() == [("due", None)]
    await rig.pass_time(5 * SECOND)
    await rig.work()
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("running", 2)
    old = await report({"status": "succeeded"}, request=0)
    assert (old.status_code, old.json()["code"]) == (403, "forbidden")
    assert (await report({"status": "succeeded"}, request=1)).status_code == 200
    assert await rig.said() == [("succeeded", None)]


async def test_a_report_spares_the_retry_of_the_attempt_that_it_is_of(
    rig: Rig, report: Any
) -> None:
    rig.receiver.on("/", answer(503))
    await taken(rig)
    assert (await report({"status": "succeeded"})).status_code == 200
    await rig.pass_time(MINUTE)
    await rig.work()
    assert await rig.said() == [("succeeded", None)]
    assert len(rig.receiver.requests) == 1


async def test_without_a_report_the_time_out_ends_the_run_at_its_instant(rig: Rig) -> None:
    await taken(rig)
    await rig.pass_time(10 * MINUTE - 1)
    assert await watch.expire(rig.parts) == 0
    await rig.pass_time(1)
    assert await watch.expire(rig.parts) == 1
    run = await rig.run()
    assert (run["status"], run["reason"]) == ("failed", "completion_timeout")
    assert (run["finished_at"], run["duration_ms"]) == (instant_at(rig.clock.ms), 10 * MINUTE)
    assert [told["reason"] for told in rig.told(EventName.RUN_FAILED)] == ["completion_timeout"]


async def test_an_hour_is_allowed_where_the_job_says_nothing(rig: Rig) -> None:
    await taken(rig, target={"completion_timeout": None})
    assert (await rig.run())["completion_until"] == instant_at(rig.clock.ms + HOUR)


async def test_a_heartbeat_begins_the_time_out_anew(rig: Rig, report: Any) -> None:
    await taken(rig)
    await rig.pass_time(9 * MINUTE)
    beaten = await report(None, verb="heartbeat")
    assert beaten.status_code == 200
    await rig.pass_time(9 * MINUTE)
    assert await watch.expire(rig.parts) == 0
    await rig.pass_time(MINUTE)
    assert await watch.expire(rig.parts) == 1


async def test_a_heartbeat_while_the_attempt_is_in_flight_changes_nothing(
    rig: Rig, report: Any
) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, raw(OK)))
    await rig.job(schedule=EVERY, target=CALLBACK)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        said = await report(None, verb="heartbeat")
        assert (said.status_code, said.json()["completion"]) == (200, None)
        gate.set()
    assert (await rig.run())["completion_until"] == instant_at(rig.clock.ms + 10 * MINUTE)


async def test_after_the_time_out_neither_report_nor_heartbeat_counts(
    rig: Rig, report: Any
) -> None:
    await taken(rig)
    await rig.pass_time(10 * MINUTE)
    await watch.expire(rig.parts)
    for verb, body in (("complete", {"status": "succeeded"}), ("heartbeat", None)):
        said = await report(body, verb=verb)
        assert (said.status_code, said.json()["code"]) == (409, "conflict")
    assert await rig.said() == [("failed", "completion_timeout")]


async def test_a_heartbeat_between_the_look_and_the_end_saves_the_run(
    rig: Rig, report: Any
) -> None:
    await taken(rig)
    await rig.pass_time(10 * MINUTE)
    async with connection(rig.parts.pool) as conn:
        overdue = await completion.overdue(conn, now_ms=rig.clock.ms, batch=10)
    await report(None, verb="heartbeat")
    async with connection(rig.parts.pool) as conn:
        assert await completion.expire(conn, overdue, now_ms=rig.clock.ms) == []
    assert await rig.said() == [("running", None)]


async def test_the_death_of_the_replica_that_sent_it_changes_nothing(rig: Rig, other: Rig) -> None:
    await taken(rig)
    await other.pass_time(20 * SECOND)
    await other.beat()
    assert await upkeep.rescue(other.parts) == 0
    assert await rig.said() == [("running", None)]
    await other.pass_time(10 * MINUTE)
    assert await watch.expire(other.parts) == 1


async def test_a_report_survives_the_death_of_the_replica_that_has_not_settled_yet(
    rig: Rig, other: Rig, report: Any
) -> None:
    rig.receiver.on("/", held(asyncio.Event(), answer(202)))
    await rig.job(schedule=EVERY, target=CALLBACK)
    await rig.pass_time(HOUR)
    await rig.beat()
    await rig.tick()
    with pytest.raises(asyncio.CancelledError):  # noqa: PT012 - the replica dies while sending
        async with rig.sending():
            await report({"status": "succeeded"})
            raise asyncio.CancelledError
    await other.pass_time(20 * SECOND)
    await other.beat()
    assert await upkeep.rescue(other.parts) == 1
    assert await rig.said() == [("succeeded", None)]
    (told,) = other.told(EventName.RUN_RESCUED)
    assert (told["status"], told["reason"]) == ("succeeded", None)


@pytest.mark.parametrize(
    ("overlap", "second"),
    [("skip", ("skipped", "overlap")), ("queue", ("due", None)), ("allow", ("running", None))],
)
async def test_overlap_counts_a_run_that_awaits_its_report(
    rig: Rig, overlap: str, second: Any
) -> None:
    await taken(rig, overlap=overlap, target={"completion_timeout": "1d"})
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said() == [("running", None), second]


async def test_overlap_cancel_ends_a_run_that_awaits_its_report(rig: Rig) -> None:
    await taken(rig, overlap="cancel", target={"completion_timeout": "1d"})
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said() == [("cancelled", "overlap"), ("running", None)]


async def test_a_run_that_waits_behind_goes_when_the_report_comes(rig: Rig, report: Any) -> None:
    await taken(rig, overlap="queue", target={"completion_timeout": "1d"})
    await rig.pass_time(HOUR)
    await rig.work()
    assert (await rig.runs())[1]["queued"] is True
    await report({"status": "succeeded"})
    await rig.work()
    assert await rig.said() == [("succeeded", None), ("running", None)]


async def test_a_run_that_waits_behind_goes_when_the_time_is_out(rig: Rig) -> None:
    await taken(rig, overlap="queue", target={"completion_timeout": "90m"})
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.pass_time(HOUR // 2)
    await watch.expire(rig.parts)
    await rig.work()
    assert await rig.said() == [("failed", "completion_timeout"), ("running", None)]


async def test_a_cancel_that_crosses_the_answer_leaves_nothing_to_wait_for(rig: Rig) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, answer(202)))
    await rig.job(schedule=EVERY, target=CALLBACK)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        async with connection(rig.parts.pool) as conn:
            assert await runs.ask_cancel(conn, (await rig.run())["id"])
        gate.set()
    assert await rig.said() == [("cancelled", "cancelled")]


async def test_a_newer_run_that_cancels_ends_one_that_comes_to_await_meanwhile(rig: Rig) -> None:
    rig.receiver.on("/", held(gate := asyncio.Event(), answer(202)))
    await rig.job(schedule=EVERY, target=CALLBACK)
    await rig.pass_time(HOUR)
    await rig.tick()
    run = await rig.run()
    async with rig.sending():
        taken_now = _settlement(run, rig.clock.ms)
        async with transaction(rig.parts.pool) as settling:
            await completion.settle_callbacks(settling, [taken_now], now_ms=rig.clock.ms)
            cancelling = asyncio.create_task(_cancel(rig, run["id"]))
            await _blocked(rig)
        assert await cancelling == []
        gate.set()
    assert await rig.said() == [("cancelled", "overlap")]


async def _cancel(rig: Rig, run_id: UUID) -> list[UUID]:
    async with transaction(rig.parts.pool) as conn:
        key = [(run_id, rig.clock.ms)]
        return await settlements.cancel_runs(conn, key, reason="overlap", now_ms=rig.clock.ms)


async def _blocked(rig: Rig) -> None:
    """Wait until some session waits for a row: the database tells, there is no event."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not await rig.parts.pool.fetchval(waits):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def _settlement(run: Record, ended_ms: int) -> Settlement:
    """What a replica settles whose target took the run."""
    return Settlement(
        id=run["id"],
        job_id=run["job_id"],
        scheduled_ms=epoch_ms(run["scheduled_for"]),
        attempt=run["attempt_count"],
        status="running",
        finished_ms=ended_ms,
        timeout_ms=1,
    )


async def test_settling_twice_after_a_lost_answer_does_not_begin_the_time_out_anew(
    rig: Rig,
) -> None:
    await taken(rig)
    until = (await rig.run())["completion_until"]
    async with connection(rig.parts.pool) as conn:
        again = _settlement(await rig.run(), rig.clock.ms)
        found = await completion.settle_callbacks(conn, [again], now_ms=rig.clock.ms + 1)
    assert found == {}
    assert (await rig.run())["completion_until"] == until


async def test_a_replica_that_can_not_be_reported_to_sends_nothing(
    rig: Rig, engine_pool: Pool
) -> None:
    nowhere = Callbacks(url="http://127.0.0.1:8080")
    async with rigged(engine_pool, rig.receiver, clock=rig.clock, callbacks=nowhere) as keyless:
        await taken(keyless)
        assert await keyless.said() == [("failed", "blocked")]
        (attempt,) = (await keyless.run())["attempts"]
    assert rig.receiver.requests == []
    assert "SCHEDULER_SECRET_KEYS" in json.loads(attempt)["error"]


async def test_a_token_that_the_target_gives_back_is_not_kept(rig: Rig) -> None:
    at = rig.clock.ms + HOUR
    job = await rig.job(schedule=EVERY, target=CALLBACK)
    report = report_to(rig.parts.callbacks, run_id(job, at), 1)
    assert report is not None
    echoed = json.dumps({"you sent": report.token}).encode()
    rig.receiver.on("/", answer(202, echoed, {"X-Echo": report.token}))
    await rig.pass_time(HOUR)
    await rig.work()
    (request,) = rig.receiver.requests
    assert request.headers["scheduler-completion-token"] == report.token
    (kept,) = (await rig.run())["attempts"]
    assert report.token not in kept
    assert json.loads(kept)["response"]["body"] == '{"you sent": "***"}'


async def test_where_to_report_is_not_told_to_another_origin(rig: Rig) -> None:
    async with receiving() as other:
        rig.receiver.on("/", answer(307, b"", {"Location": other.url("/next")}))
        await taken(rig, target={"redirects": 1})
        (followed,) = other.requests
    assert "scheduler-completion-url" in rig.receiver.requests[0].headers
    assert not [name for name in followed.headers if "completion" in name]
