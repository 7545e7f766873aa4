"""Alerts: each condition is told once, its end once, by runs that are sent like any other."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from asyncpg import Record
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from factories import Json, waiting_run
from receiver import OK, answer, held, in_turn, raw, silence
from reports import reporting
from rig import HOUR, MINUTE, SECOND, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.engine import upkeep, watch
from scheduler_svc.store import incidents
from scheduler_svc.store.pool import Pool, transaction

EVERY = {"every": "1h"}
ONCE = {"max_attempts": 1}
GOOD, BAD = raw(OK), answer(500)


async def job(rig: Rig, *, alerts: Json | None = None, **changes: Any) -> UUID:
    """A job that tells the receiver's /alerts of its incidents."""
    told = {"url": rig.receiver.url("/alerts"), "failures_in_row": 1000, **(alerts or {})}
    return await rig.job(**{"schedule": EVERY, "retry": ONCE, "alerts": told, **changes})


async def fire(rig: Rig, *behaviours: Any) -> None:
    """Let an occurrence an hour go out for each behaviour, and its alerts after it."""
    for behaviour in behaviours:
        rig.receiver.on("/", behaviour)
        await rig.pass_time(HOUR)
        await rig.work()
        await rig.work()


def told(rig: Rig) -> list[Json]:
    """What the receiver of alerts has got, as the SDK of CloudEvents reads it."""
    found = []
    for one in rig.receiver.of("/alerts"):
        event = from_structured_event(HTTPMessage(one.headers, one.body))
        data = event.get_data()
        assert isinstance(data, dict)
        found.append({**event.get_attributes(), **data})
    return found


def conditions(rig: Rig) -> list[str]:
    return [one["condition"] for one in told(rig)]


async def alert_runs(rig: Rig) -> list[Record]:
    return [row for row in await rig.runs() if row["trigger"] == "alert"]


async def test_an_alert_is_a_cloudevent_in_structured_mode(rig: Rig) -> None:
    made = await job(rig, alerts={"every_failure": True}, name="nightly", labels={"team": "x"})
    await fire(rig, answer(404))
    (request,) = rig.receiver.of("/alerts")
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    (event,) = told(rig)
    (run,) = await alert_runs(rig)
    failed = next(row for row in await rig.runs(made) if row["trigger"] == "schedule")
    assert event["specversion"] == "1.0"
    assert event["id"] == str(run["id"]) == request.headers["webhook-id"]
    assert event["source"] == f"/jobs/{made}"
    assert event["type"] == "dev.scheduler-svc.run.failed"
    assert event["subject"] == str(failed["id"])
    assert event["job"] == {
        "id": str(made),
        "name": "nightly",
        "namespace": "default",
        "labels": {"team": "x"},
    }
    assert event["run"]["status"] == "failed"
    assert event["run"]["reason"] == "status"
    assert event["run"]["scheduled_for"] == "2026-01-05T09:00:00Z"
    assert "status" in event["detail"]


async def test_each_failure_is_told_and_the_recovery_once(rig: Rig) -> None:
    await job(rig, alerts={"every_failure": True})
    await fire(rig, BAD, BAD, GOOD, GOOD, BAD)
    assert conditions(rig) == ["failed", "failed", "recovered", "failed"]
    assert told(rig)[2]["incidents"] == ["failed"]


async def test_failures_in_a_row_are_told_once_and_over_once(rig: Rig) -> None:
    await job(rig, alerts={"failures_in_row": 3})
    await fire(rig, BAD, BAD, GOOD, BAD, BAD)
    assert conditions(rig) == []
    await fire(rig, BAD, BAD, BAD)
    assert conditions(rig) == ["failures_in_row"]
    assert (told(rig)[0]["type"], told(rig)[0]["count"]) == ("dev.scheduler-svc.job.failing", 3)
    await fire(rig, GOOD, GOOD)
    assert conditions(rig) == ["failures_in_row", "recovered"]
    await fire(rig, BAD, BAD, BAD)
    assert conditions(rig) == ["failures_in_row", "recovered", "failures_in_row"]


async def test_k_of_n_is_told_once_and_over_when_fewer_are_left(rig: Rig) -> None:
    await job(rig, alerts={"failures_of": {"failures": 2, "runs": 3}})
    await fire(rig, BAD, GOOD, GOOD, BAD, GOOD)
    assert conditions(rig) == []
    await fire(rig, BAD)
    assert conditions(rig) == ["failures_of"]
    assert (told(rig)[0]["count"], told(rig)[0]["runs"]) == (2, 3)
    await fire(rig, BAD, GOOD)
    assert conditions(rig) == ["failures_of"]  # two of the last three failed still
    await fire(rig, GOOD)
    assert conditions(rig) == ["failures_of", "recovered"]


async def test_a_recovery_is_not_told_where_nobody_wants_it(rig: Rig) -> None:
    await job(rig, alerts={"failures_in_row": 1, "on_recovery": False})
    await fire(rig, BAD, GOOD, BAD)
    assert conditions(rig) == ["failures_in_row", "failures_in_row"]


async def test_a_run_that_leaves_late_is_told_once_and_the_next_on_time_ends_it(rig: Rig) -> None:
    await job(rig, alerts={"late_after": "5m"}, misfire={"grace": "30m"})
    for late_ms in (5 * MINUTE, 6 * MINUTE, 7 * MINUTE, 0, 0):
        rig.receiver.on("/", GOOD)
        begun = rig.clock.ms - rig.clock.ms % HOUR + HOUR
        await rig.pass_time(begun + late_ms - rig.clock.ms)
        await rig.work()
        await rig.work()
    assert conditions(rig) == ["late", "recovered"]
    assert told(rig)[0]["type"] == "dev.scheduler-svc.run.late"
    assert told(rig)[0]["run"]["lateness_ms"] == 6 * MINUTE


async def test_what_the_spread_delays_is_not_late(rig: Rig) -> None:
    made = await job(rig, alerts={"late_after": "1s"}, schedule={**EVERY, "spread": "59m"})
    await rig.pass_time(2 * HOUR)
    timer = await rig.timer(made)
    assert timer["fire_at"] > timer["scheduled_for"]
    rig.clock.ms = int(timer["fire_at"].timestamp() * 1000)
    await rig.pass_time(0)
    await rig.work()
    assert (await rig.run(made))["lateness_ms"] > SECOND
    assert conditions(rig) == []


async def test_lateness_is_told_though_the_run_is_to_be_retried(rig: Rig) -> None:
    rig.receiver.on("/", BAD)
    await job(rig, alerts={"late_after": "1m"}, misfire={"grace": "30m"}, retry={"deadline": "2h"})
    await rig.pass_time(HOUR + 2 * MINUTE)
    await rig.work()
    assert (await rig.said())[0] == ("due", None)
    await rig.work()
    assert conditions(rig) == ["late"]


async def test_a_run_that_has_not_left_in_time_is_told_before_it_leaves(rig: Rig) -> None:
    made = await job(rig, alerts={"late_after": "5m"}, overlap="queue", name="late")
    await _watched(rig, made)
    rig.receiver.on("/", silence())
    await waiting_run(rig.parts.pool, made, at_ms=rig.clock.ms)
    await rig.tick()
    async with rig.parts.pool.acquire() as conn:
        await conn.execute("UPDATE runs SET queued = false")
    await rig.pass_time(HOUR)
    await rig.tick()  # queued behind the manual one, which goes on
    assert [row["queued"] for row in await rig.runs(made)] == [False, True]
    await watch.look(rig.parts)  # of the instant at which it was created
    await rig.pass_time(5 * MINUTE - 1)
    assert await watch.look(rig.parts) == 0
    await rig.pass_time(1)
    assert await watch.look(rig.parts) == 1
    (raised,) = rig.told(EventName.ALERT_RAISED)
    assert raised["condition"] == "late"
    await rig.pass_time(MINUTE)
    assert await watch.look(rig.parts) == 0


async def test_an_occurrence_that_nobody_claims_is_told(rig: Rig) -> None:
    made = await job(rig, alerts={"late_after": "5m"})
    await _watched(rig, made)
    await rig.pass_time(HOUR + 5 * MINUTE)
    assert await watch.look(rig.parts) == 1
    await rig.send()
    await rig.tick()
    await rig.send()
    assert conditions(rig)[0] == "late"
    assert told(rig)[0]["run"]["scheduled_for"] == "2026-01-05T09:00:00Z"


async def test_a_job_whose_runs_leave_on_time_is_looked_at_and_nothing_is_told(rig: Rig) -> None:
    made = await job(rig, alerts={"late_after": "5m", "never_ran": True})
    await _watched(rig, made)
    for _ in range(3):
        await fire(rig, GOOD)
        await rig.pass_time(5 * MINUTE)
        await watch.look(rig.parts)
        await rig.pass_time(-5 * MINUTE)
    assert conditions(rig) == []
    assert rig.told(EventName.ALERT_RAISED) == []


async def test_nothing_started_between_two_due_instants_is_told_once(rig: Rig) -> None:
    made = await job(rig, alerts={"never_ran": True, "late_after": "10h"}, overlap="skip")
    await _watched(rig, made)
    await fire(rig, GOOD)
    await rig.parts.pool.execute(
        "UPDATE runs SET status = 'running', finished_at = NULL,"
        " next_attempt_at = scheduled_for, replica = $1 WHERE job_id = $2",
        UUID(int=9),
        made,
    )
    await rig.pass_time(HOUR)
    await rig.tick()  # the run of 9 goes on, so that of 10 is skipped
    await watch.look(rig.parts)
    assert rig.told(EventName.ALERT_RAISED) == []  # it started at 9
    for _ in range(3):
        await rig.pass_time(HOUR)
        await rig.tick()
        await watch.look(rig.parts)
    assert [one["condition"] for one in rig.told(EventName.ALERT_RAISED)] == ["never_ran"]
    await rig.parts.pool.execute(
        "UPDATE runs SET status = 'succeeded', finished_at = now(),"
        " next_attempt_at = NULL WHERE job_id = $1 AND status = 'running'",
        made,
    )
    await fire(rig, GOOD)
    assert conditions(rig) == ["never_ran", "recovered"]


async def test_a_run_that_is_under_way_has_started(rig: Rig) -> None:
    made = await job(rig, alerts={"never_ran": True, "late_after": "10h"})
    await _watched(rig, made)
    rig.receiver.on("/", held(gate := asyncio.Event(), GOOD))
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        await rig.pass_time(HOUR)
        assert await watch.look(rig.parts) == 1
        assert rig.told(EventName.ALERT_RAISED) == []
        gate.set()


async def test_a_slow_run_is_told_once_and_a_quick_one_ends_it(rig: Rig) -> None:
    made = await job(rig, alerts={"slow_factor": 3}, target={"completion": "callback"})
    async with reporting(rig) as report:
        for seconds in (*[10] * 10, 31, 40, 10, 10):
            await fire(rig, answer(202))
            await rig.pass_time(seconds * SECOND)
            at = next(
                n
                for n in reversed(range(len(rig.receiver.requests)))
                if rig.receiver.requests[n].path == "/"
            )
            assert (await report({"status": "succeeded"}, request=at)).status_code == 200
            await rig.work()
            await rig.pass_time(-seconds * SECOND)
    assert conditions(rig) == ["slow", "recovered"]
    assert (told(rig)[0]["duration_ms"], told(rig)[0]["p95_ms"]) == (31 * SECOND, 10 * SECOND)
    assert len(await rig.runs(made)) == 16


async def test_an_alert_is_retried_until_its_receiver_is_back(rig: Rig) -> None:
    rig.chance.value = 0.5
    await job(rig, alerts={"failures_in_row": 1})
    rig.receiver.on("/alerts", in_turn(BAD, answer(503), raw(b"", then_close=True), GOOD))
    await fire(rig, BAD)
    (run,) = await alert_runs(rig)
    assert (run["status"], run["attempt_count"]) == ("due", 1)
    for _ in range(3):
        await rig.pass_time(HOUR // 2)
        await rig.work()
    (run,) = await alert_runs(rig)
    assert (run["status"], run["attempt_count"]) == ("succeeded", 4)
    assert len({one.headers["webhook-id"] for one in rig.receiver.of("/alerts")}) == 1
    assert len(rig.told(EventName.ALERT_SENT)) == 1


async def test_an_alert_that_is_never_taken_fails_visibly_and_raises_no_other(rig: Rig) -> None:
    await job(rig, alerts={"every_failure": True})
    rig.receiver.on("/alerts", answer(400))
    await fire(rig, BAD)
    await rig.work()
    (run,) = await alert_runs(rig)
    assert (run["status"], run["reason"]) == ("failed", "status")
    assert [one["run_id"] for one in rig.told(EventName.ALERT_FAILED)] == [run["id"]]
    assert len(rig.told(EventName.ALERT_RAISED)) == 1


async def test_a_receiver_of_alerts_that_is_gone_pauses_nothing(rig: Rig) -> None:
    made = await job(rig, alerts={"failures_in_row": 1})
    rig.receiver.on("/alerts", answer(410))
    await fire(rig, BAD)
    assert [row["reason"] for row in await alert_runs(rig)] == ["gone"]
    assert await rig.state(made) == "active"


async def test_a_blocked_receiver_is_a_failed_alert(rig: Rig) -> None:
    await job(rig, alerts={"url": "http://10.0.0.1/", "failures_in_row": 1})
    await fire(rig, BAD)
    assert [(row["status"], row["reason"]) for row in await alert_runs(rig)] == [
        ("failed", "blocked")
    ]


async def test_an_alert_of_a_deleted_job_is_still_sent_and_as_it_was(
    rig: Rig, engine_pool: Pool
) -> None:
    made = await job(rig, alerts={"failures_in_row": 1}, name="gone-soon")
    rig.receiver.on("/", BAD)
    await rig.pass_time(HOUR)
    await rig.tick()
    await rig.send()
    async with reporting(rig) as report:
        assert (await report.http.delete(f"/jobs/{made}")).status_code == 204
    assert [row["status"] for row in await alert_runs(rig)] == ["due"]
    await rig.work()
    assert conditions(rig) == ["failures_in_row"]
    assert told(rig)[0]["job"]["name"] == "gone-soon"


async def test_alerts_count_for_nothing_but_themselves(rig: Rig, engine_pool: Pool) -> None:
    made = await job(
        rig, alerts={"failures_in_row": 1}, schedule={**EVERY, "max_runs": 5}, overlap="skip"
    )
    rig.receiver.on("/alerts", BAD)
    rig.receiver.on("/", BAD)
    await rig.pass_time(HOUR + 5)  # the alert is the newer run
    await rig.work()
    await rig.work()
    assert [row["status"] for row in await alert_runs(rig)] == ["due"]
    async with reporting(rig) as report:
        http = report.http
        last = (await http.get(f"/jobs/{made}")).json()["last_run"]
        assert last["status"] == "failed"
        listed = (await http.get(f"/jobs/{made}/runs")).json()["items"]
        assert [run["trigger"] for run in listed] == ["schedule"]
        alerts = (await http.get("/runs?trigger=alert")).json()["items"]
        assert [run["job_id"] for run in alerts] == [str(made)]
        assert (await http.get(f"/runs/{alerts[0]['id']}")).json()["trigger"] == "alert"
    assert (await rig.timer(made))["runs_made"] == 1
    await fire(rig, GOOD)  # under `skip`, with the alert unfinished
    assert ("skipped", "overlap") not in await rig.said(made)


async def test_a_completed_job_is_deleted_though_its_alert_is_under_way(rig: Rig) -> None:
    await job(
        rig,
        alerts={"failures_in_row": 1},
        schedule={"at": "2026-01-05T08:30:00Z"},
        delete_after_completion=True,
    )
    rig.receiver.on("/alerts", BAD)
    rig.receiver.on("/", BAD)
    await rig.pass_time(HOUR // 2)
    await rig.work()
    await rig.work()
    assert await upkeep.delete_spent(rig.parts) == 1
    rig.receiver.on("/alerts", GOOD)
    await rig.pass_time(HOUR)
    await rig.work()
    assert [row["status"] for row in await alert_runs(rig)] == ["succeeded"]


@pytest.mark.parametrize("trigger", ["backfill", "alert"])
async def test_runs_that_say_nothing_of_the_jobs_health_are_not_counted(
    rig: Rig, trigger: Any
) -> None:
    made = await job(rig, alerts={"failures_in_row": 1}, auto_pause_after=1)
    rig.receiver.on("/", BAD)
    await waiting_run(rig.parts.pool, made, at_ms=rig.clock.ms, trigger=trigger)
    await rig.work()
    await rig.work()
    assert rig.told(EventName.ALERT_RAISED) == []
    assert await rig.state(made) == "active"


async def test_cancelled_and_skipped_runs_neither_count_nor_break_a_row(rig: Rig) -> None:
    made = await job(rig, alerts={"failures_in_row": 2})
    await fire(rig, BAD)
    await waiting_run(rig.parts.pool, made, at_ms=rig.clock.ms)
    await rig.parts.pool.execute(
        "UPDATE runs SET status = 'cancelled', reason = 'cancelled', finished_at = now(),"
        " next_attempt_at = NULL WHERE status = 'due'"
    )
    await fire(rig, BAD)
    assert conditions(rig) == ["failures_in_row"]


async def test_auto_pause_pauses_after_so_many_failures_in_a_row_and_says_so(
    rig: Rig, engine_pool: Pool
) -> None:
    made = await job(rig, auto_pause_after=3)
    await fire(rig, BAD, BAD, GOOD, BAD, BAD)
    assert await rig.state(made) == "active"
    await fire(rig, BAD)
    assert await rig.state(made) == "paused"
    assert (await rig.timer(made))["fire_at"] is None
    why = await engine_pool.fetchval("SELECT pause ->> 'reason' FROM jobs")
    assert "3 runs in a row failed" in why
    assert [one["reason"] for one in rig.told(EventName.JOB_PAUSED)] == [why]
    assert conditions(rig) == ["auto_paused"]
    assert told(rig)[0]["type"] == "dev.scheduler-svc.job.auto-paused"
    sent = len(rig.receiver.of("/"))
    await fire(rig, BAD, BAD)
    assert len(rig.receiver.of("/")) == sent


async def test_auto_pause_needs_no_alerts_and_counts_anew_after_a_resume(rig: Rig) -> None:
    made = await rig.job(schedule=EVERY, retry=ONCE, auto_pause_after=2)
    await fire(rig, BAD, BAD)
    assert await rig.state(made) == "paused"
    async with reporting(rig) as report:
        assert (await report.http.post(f"/jobs/{made}/resume")).status_code == 200
    await fire(rig, BAD)
    assert await rig.state(made) == "active"
    await fire(rig, BAD)
    assert await rig.state(made) == "paused"
    assert await alert_runs(rig) == []


async def test_410_is_told_as_a_pause_too(rig: Rig) -> None:
    made = await job(rig)
    await fire(rig, answer(410))
    assert await rig.state(made) == "paused"
    assert conditions(rig) == ["auto_paused"]
    assert len(rig.told(EventName.JOB_PAUSED)) == 1


async def test_a_report_of_failure_counts_alerts_and_pauses(rig: Rig) -> None:
    made = await job(
        rig, alerts={"failures_in_row": 1}, auto_pause_after=1, target={"completion": "callback"}
    )
    await fire(rig, answer(202))
    async with reporting(rig) as report:
        await report({"status": "failed"})
    await rig.work()
    assert sorted(conditions(rig)) == ["auto_paused", "failures_in_row"]
    assert await rig.state(made) == "paused"


async def test_a_report_that_does_not_come_counts_alerts_and_pauses(rig: Rig) -> None:
    made = await job(
        rig, alerts={"failures_in_row": 1}, auto_pause_after=1, target={"completion": "callback"}
    )
    await fire(rig, answer(202))
    await rig.pass_time(HOUR)
    await watch.expire(rig.parts)
    await rig.work()
    assert sorted(conditions(rig)) == ["auto_paused", "failures_in_row"]
    assert await rig.state(made) == "paused"


async def test_a_run_that_is_lost_with_its_replicas_is_told(rig: Rig, other: Rig) -> None:
    await job(rig, alerts={"failures_in_row": 1})
    await rig.pass_time(HOUR)
    await rig.beat()
    await rig.tick()
    await rig.parts.pool.execute("UPDATE runs SET lost_count = 3")
    await other.pass_time(20 * SECOND)
    await other.beat()
    await upkeep.rescue(other.parts)
    await other.work()
    assert conditions(other) == ["failures_in_row"]


async def test_a_namespace_tells_of_the_jobs_that_name_nobody(rig: Rig, engine_pool: Pool) -> None:
    shared = Alerts(url=rig.receiver.url("/alerts"), failures_in_row=1)
    rig.namespace_alerts["default"] = shared
    await rig.job(schedule=EVERY, retry=ONCE)
    own = await job(rig, alerts={"failures_in_row": 2})
    await fire(rig, BAD)
    assert conditions(rig) == ["failures_in_row"]
    await fire(rig, BAD)
    assert conditions(rig) == ["failures_in_row", "failures_in_row"]
    assert told(rig)[1]["job"]["id"] == str(own)


async def test_jobs_with_neither_alerts_nor_auto_pause_leave_no_trace(rig: Rig) -> None:
    await rig.job(schedule=EVERY, retry=ONCE)
    await fire(rig, BAD, GOOD)
    assert await rig.parts.pool.fetchval("SELECT count(*) FROM job_incidents") == 0
    assert await alert_runs(rig) == []


async def test_two_replicas_that_settle_at_once_tell_of_one_incident_once(
    rig: Rig, other: Rig
) -> None:
    await job(rig, alerts={"failures_in_row": 2}, overlap="allow", schedule={"every": "1s"})
    rig.receiver.on("/", BAD)
    for _ in range(6):
        await rig.pass_time(SECOND)
        await other.pass_time(0)
        await rig.tick()
        await other.tick()
        await rig.send()
        await other.send()
    await rig.work()
    assert conditions(rig) == ["failures_in_row"]


async def _watched(rig: Rig, job_id: UUID) -> None:
    """Begin to look at a job, as creating it does."""
    known = await rig.known(job_id)
    async with transaction(rig.parts.pool) as conn:
        await incidents.watch(conn, known, known.definition.alerts, now_ms=rig.clock.ms)
