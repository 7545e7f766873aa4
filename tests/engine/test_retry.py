"""Attempts, and what follows a failed one: rows with an instant, reasons, and an end."""

import json
from typing import Any

import pytest

from factories import waiting_run
from receiver import OK, answer, in_turn, raw, reset, silence
from rig import HOUR, SECOND, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Pool

PLAIN = {"max_attempts": 3, "initial_delay": "5s", "multiplier": 2.0, "jitter": "none"}
EVERY = {"every": "1h"}


async def _fire(rig: Rig, **changes: Any) -> None:
    await rig.job(**{"schedule": EVERY, "retry": PLAIN, **changes})
    await rig.pass_time(HOUR)
    await rig.work()


async def test_a_failed_attempt_leaves_a_row_that_is_due_when_its_delay_is_over(rig: Rig) -> None:
    rig.receiver.on("/", in_turn(answer(503), raw(OK)))
    await _fire(rig)
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("due", 1)
    assert run["next_attempt_at"] == instant_at(rig.clock.ms + 5 * SECOND)
    await rig.pass_time(4999)
    await rig.work()
    assert len(rig.receiver.requests) == 1
    await rig.pass_time(1)
    await rig.send()
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("succeeded", 2)
    assert [json.loads(text)["number"] for text in run["attempts"]] == [1, 2]
    assert [json.loads(text)["outcome"] for text in run["attempts"]] == ["http_error", "ok"]


async def test_all_attempts_carry_one_id_and_their_number(rig: Rig) -> None:
    rig.receiver.on("/", in_turn(answer(503), raw(OK)))
    await _fire(rig)
    await rig.pass_time(5 * SECOND)
    await rig.work()
    first, second = rig.receiver.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["webhook-id"] == str((await rig.run())["id"])
    assert [r.headers["scheduler-attempt"] for r in (first, second)] == ["1", "2"]


async def test_lateness_is_that_of_the_first_attempt(rig: Rig) -> None:
    rig.receiver.on("/", in_turn(answer(503), raw(OK)))
    await rig.job(schedule=EVERY, retry=PLAIN)
    await rig.pass_time(HOUR + 30)
    await rig.work()
    await rig.pass_time(5 * SECOND)
    await rig.work()
    run = await rig.run()
    assert run["lateness_ms"] == 30
    assert run["duration_ms"] == 5 * SECOND
    assert [told["lateness_ms"] for told in rig.told(EventName.RUN_SUCCEEDED)] == [None]
    assert [told["lateness_ms"] for told in rig.told(EventName.RUN_RETRYING)] == [30]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (answer(500), "http_error"),
        (answer(429), "http_error"),
        (reset(), "connect_error"),
        (raw(b"nonsense\r\n\r\n", then_close=True), "protocol_error"),
        (silence(), "timeout"),
    ],
    ids=["500", "429", "reset", "nonsense", "silence"],
)
async def test_what_may_pass_is_tried_until_the_attempts_are_used_up(
    rig: Rig, behaviour: object, outcome: str
) -> None:
    rig.receiver.on("/", behaviour)  # type: ignore[arg-type]
    await _fire(rig, target={"timeout": "100ms"})
    for _ in range(3):
        await rig.pass_time(20 * SECOND)
        await rig.work()
    assert await rig.said() == [("failed", "attempts")]
    records = [json.loads(text) for text in (await rig.run())["attempts"]]
    assert [record["outcome"] for record in records] == [outcome] * 3
    assert len(rig.receiver.requests) == 3


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answer(404), "status"),
        (answer(301), "status"),
        (answer(410), "gone"),
        (answer(503, headers={"Scheduler-No-Retry": "true"}), "no_retry"),
    ],
    ids=["404", "301", "410", "told not to"],
)
async def test_what_can_not_pass_fails_at_once_with_its_reason(
    rig: Rig, behaviour: object, reason: str
) -> None:
    rig.receiver.on("/", behaviour)  # type: ignore[arg-type]
    await _fire(rig)
    assert await rig.said() == [("failed", reason)]


async def test_a_blocked_address_fails_at_once_and_nothing_is_dialled(rig: Rig) -> None:
    await _fire(rig, target={"url": "http://10.0.0.1/"})
    assert await rig.said() == [("failed", "blocked")]


async def test_410_pauses_the_job_with_a_reason(rig: Rig, engine_pool: Pool) -> None:
    rig.receiver.on("/", answer(410))
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.state(job) == "paused"
    assert (await rig.timer(job))["fire_at"] is None
    row = await engine_pool.fetchrow("SELECT pause ->> 'reason' AS why, revision FROM jobs")
    assert row is not None
    assert "410" in row["why"]
    assert row["revision"] == 2 == (await rig.timer(job))["revision"]
    await rig.pass_time(HOUR)
    await rig.work()
    assert len(rig.receiver.requests) == 1


async def test_retries_end_before_the_next_occurrence(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    await rig.job(schedule={"every": "10s"}, retry=PLAIN | {"initial_delay": "4s"})
    await rig.pass_time(10 * SECOND)
    await rig.work()
    assert await rig.said() == [("due", None)]
    await rig.pass_time(4 * SECOND)
    await rig.work()  # 4 s in; the next wait of 8 s would pass the next occurrence
    assert await rig.said() == [("failed", "next_occurrence")]


async def test_a_deadline_takes_the_place_of_the_next_occurrence(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    retry = PLAIN | {"initial_delay": "15s", "deadline": "40s"}
    await rig.job(schedule={"every": "10s"}, retry=retry, overlap="skip")
    await rig.pass_time(10 * SECOND)
    await rig.work()
    assert (await rig.said())[0] == ("due", None)
    await rig.pass_time(15 * SECOND)
    await rig.work()  # the next wait of 30 s would pass the deadline
    assert (await rig.said())[0] == ("failed", "deadline")


async def test_a_manual_run_is_not_bound_by_the_next_occurrence(
    rig: Rig, engine_pool: Pool
) -> None:
    rig.receiver.on("/", answer(500))
    job = await rig.job(schedule={"every": "10s"}, retry=PLAIN | {"initial_delay": "1m"})
    run = await waiting_run(engine_pool, job, at_ms=rig.clock.ms)
    await rig.work()
    row = next(row for row in await rig.runs() if row["id"] == run)
    assert row["status"] == "due"


async def test_full_jitter_draws_from_the_whole_delay(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    rig.chance.value = 0.25
    await _fire(rig, retry=PLAIN | {"jitter": "full", "initial_delay": "8s"})
    assert (await rig.run())["next_attempt_at"] == instant_at(rig.clock.ms + 2 * SECOND)


async def test_a_retry_goes_where_the_job_points_now(rig: Rig, engine_pool: Pool) -> None:
    rig.receiver.on("/", answer(500))
    job = await rig.job(schedule=EVERY, retry=PLAIN)
    await rig.pass_time(HOUR)
    await rig.work()
    await engine_pool.execute(
        "UPDATE jobs SET revision = 2, definition ="
        " replace(definition::text, $2, $3)::json WHERE id = $1",
        job,
        rig.receiver.url("/"),
        rig.receiver.url("/elsewhere"),
    )
    await engine_pool.execute("UPDATE job_timers SET revision = 2")
    await rig.pass_time(5 * SECOND)
    await rig.work()
    assert [one.path for one in rig.receiver.requests] == ["/", "/elsewhere"]


async def test_the_waiting_run_of_a_deleted_job_is_cancelled(rig: Rig, engine_pool: Pool) -> None:
    rig.receiver.on("/", answer(500))
    await _fire(rig)
    await engine_pool.execute("DELETE FROM jobs")
    await rig.pass_time(5 * SECOND)
    await rig.work()
    assert await rig.said() == [("cancelled", "job_deleted")]
    assert len(rig.receiver.requests) == 1
    assert rig.held() == []


async def test_the_waiting_run_of_a_job_that_can_not_be_read_does_not_pretend_it_was_deleted(
    rig: Rig, engine_pool: Pool
) -> None:
    rig.receiver.on("/", answer(500))
    job = await rig.job(schedule=EVERY, retry=PLAIN)
    await rig.pass_time(HOUR)
    await rig.work()
    await engine_pool.execute("UPDATE jobs SET definition = '{}', revision = 2")
    await engine_pool.execute("UPDATE job_timers SET revision = 2")
    await rig.pass_time(5 * SECOND)
    await rig.work()
    assert await rig.state(job) == "paused"
    assert await rig.said() == [("failed", "no_retry")]
