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


@pytest.mark.parametrize("overlap", ["allow", "queue"])
async def test_a_retry_that_an_outage_carried_past_the_next_occurrence_is_not_sent(
    rig: Rig, overlap: str
) -> None:
    rig.receiver.on("/", in_turn(answer(500), raw(OK)))
    await _fire(rig, overlap=overlap)
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.work()
    assert await rig.said() == [("failed", "next_occurrence"), ("succeeded", None)]
    assert len(rig.receiver.requests) == 2
    assert len((await rig.runs())[0]["attempts"]) == 1


async def test_where_the_next_occurrence_was_skipped_for_it_the_retry_goes(rig: Rig) -> None:
    rig.receiver.on("/", in_turn(answer(500), raw(OK)))
    await _fire(rig, overlap="skip")
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said() == [("succeeded", None), ("skipped", "overlap")]


async def test_a_retry_that_an_outage_carried_past_its_deadline_is_not_sent(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    await _fire(rig, retry=PLAIN | {"deadline": "30m"})
    await rig.pass_time(HOUR // 2 + 1)
    await rig.work()
    assert await rig.said() == [("failed", "deadline")]
    assert len(rig.receiver.requests) == 1


async def test_a_retry_that_is_late_within_its_deadline_is_sent(rig: Rig) -> None:
    rig.receiver.on("/", in_turn(answer(500), raw(OK)))
    await _fire(rig, retry=PLAIN | {"deadline": "30m"})
    await rig.pass_time(HOUR // 2)
    await rig.work()
    assert await rig.said() == [("succeeded", None)]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_retry_after_is_obeyed_where_it_is_longer(rig: Rig, status: int) -> None:
    rig.receiver.on("/", answer(status, headers={"Retry-After": "120"}))
    await _fire(rig)
    assert (await rig.run())["next_attempt_at"] == instant_at(rig.clock.ms + 120 * SECOND)


@pytest.mark.parametrize(
    "date",
    ["Mon, 05 Jan 2026 09:10:00 GMT", "Monday, 05-Jan-26 09:10:00 GMT", "Mon Jan  5 09:10:00 2026"],
)
async def test_retry_after_may_be_a_date_in_any_form_of_http(rig: Rig, date: str) -> None:
    rig.receiver.on("/", answer(503, headers={"Retry-After": date}))
    await _fire(rig)
    assert (await rig.run())["next_attempt_at"] == instant_at(rig.clock.ms + 600 * SECOND)


async def test_retry_after_is_clamped_to_max_delay(rig: Rig) -> None:
    rig.receiver.on("/", answer(503, headers={"Retry-After": "3000"}))
    await _fire(rig, retry=PLAIN | {"max_delay": "1m"})
    assert (await rig.run())["next_attempt_at"] == instant_at(rig.clock.ms + 60 * SECOND)


@pytest.mark.parametrize(
    ("retry", "reason"),
    [({"deadline": "90s"}, "deadline"), ({"max_delay": "2h"}, "next_occurrence")],
    ids=["deadline", "next occurrence"],
)
async def test_a_retry_after_beyond_what_bounds_the_retries_fails_the_run_at_once(
    rig: Rig, retry: dict[str, Any], reason: str
) -> None:
    rig.receiver.on("/", answer(503, headers={"Retry-After": "3600"}))
    await _fire(rig, retry=PLAIN | retry)
    assert await rig.said() == [("failed", reason)]
    assert len(rig.receiver.requests) == 1


async def test_a_list_of_delays_takes_the_place_of_the_curve_and_its_last_repeats(
    rig: Rig,
) -> None:
    rig.receiver.on("/", answer(500))
    await _fire(rig, retry={"delays": ["1s", "1m"], "max_attempts": 4})
    waits = []
    while (run := await rig.run())["status"] == "due":
        waits.append(int((run["next_attempt_at"] - instant_at(rig.clock.ms)).total_seconds()))
        await rig.pass_time(waits[-1] * SECOND)
        await rig.work()
    assert waits == [1, 60, 60]
    assert await rig.said() == [("failed", "attempts")]


async def test_only_the_statuses_that_are_named_are_retried(rig: Rig) -> None:
    rig.receiver.on("/", in_turn(answer(404), answer(503)))
    await _fire(rig, retry=PLAIN | {"on": [404]})
    assert await rig.said() == [("due", None)]
    await rig.pass_time(5 * SECOND)
    await rig.work()
    assert await rig.said() == [("failed", "status")]


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
