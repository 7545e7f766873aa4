"""Runs a minute of a namespace: what begins when, what is skipped, and that nothing is lost."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from factories import MORNING_MS, waiting_run
from receiver import Receiver
from reports import reporting
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.decide import decide
from scheduler_svc.domain.explain_run import WHY
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.engine import deciding, upkeep
from scheduler_svc.store.calendars import wait_for_calendar, write_calendar
from scheduler_svc.store.pool import Pool, transaction


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    """A replica that decides a few at a time, so that what it gave away has to be remembered."""
    async with rigged(engine_pool, receiver, batch=3) as built:
        yield built


async def _limit(rig: Rig, pool: Pool, runs_per_minute: int | None) -> None:
    await pool.execute(
        """
        INSERT INTO namespaces (name, settings, revision, created_at, updated_at)
        VALUES ('default', $1, 1, now(), now())
        ON CONFLICT (name) DO UPDATE SET settings = $1, revision = namespaces.revision + 1
        """,
        json.dumps({"quotas": {"runs_per_minute": runs_per_minute}}),
    )
    await rig.parts.namespaces.load(rig.parts.pool)


async def _live(rig: Rig, minutes: float) -> None:
    """Pass so much time, second by second."""
    for _ in range(int(minutes * 60)):
        await rig.tick()
        await rig.send()
        await rig.pass_time(SECOND)
    await rig.tick()


async def test_occurrences_beyond_the_runs_of_a_minute_begin_in_the_next_and_say_why(
    rig: Rig, engine_pool: Pool
) -> None:
    await _limit(rig, engine_pool, 4)
    for _ in range(10):
        await rig.job(schedule={"every": "1h"})
    begin = rig.clock.ms + HOUR
    await rig.pass_time(HOUR - 500)
    await _live(rig, 3.1)
    rows = await engine_pool.fetch("SELECT * FROM runs ORDER BY started_at")
    assert [row["status"] for row in rows] == ["succeeded"] * 10
    at = [(epoch_ms(row["started_at"]) - begin) // MINUTE for row in rows]
    assert at == [0] * 4 + [1] * 4 + [2] * 2
    assert {epoch_ms(row["scheduled_for"]) for row in rows} == {begin}
    notes = [row["deferral"] and json.loads(row["deferral"]) for row in rows]
    assert notes[:4] == [None] * 4
    assert {(note["reason"], note["key"]) for note in notes[4:]} == {("quota", None)}
    assert {row["concurrency_key"] for row in rows} == {None}


async def test_what_has_no_minute_before_its_jobs_next_occurrence_is_skipped_by_quota(
    rig: Rig, engine_pool: Pool
) -> None:
    await _limit(rig, engine_pool, 2)
    begin = rig.clock.ms
    for _ in range(5):
        await rig.job(schedule={"every": "1m"}, overlap="allow")
    await rig.pass_time(MINUTE - 500)
    await _live(rig, 3)
    rows = await engine_pool.fetch(
        "SELECT * FROM runs WHERE scheduled_for < $1", instant_at(rig.clock.ms - MINUTE)
    )
    found = Counter((row["status"], row["reason"]) for row in rows)
    assert set(found) == {("succeeded", None), ("skipped", "quota")}
    by_minute = Counter((epoch_ms(row["scheduled_for"]) - begin) // MINUTE for row in rows)
    assert set(by_minute.values()) == {5}  # each occurrence has its one row
    sent = Counter(
        (epoch_ms(row["started_at"]) - begin) // MINUTE for row in rows if row["started_at"]
    )
    assert set(sent.values()) == {2}
    assert "quota allows" in WHY["quota"]


async def test_two_replicas_keep_one_quota(rig: Rig, other: Rig, engine_pool: Pool) -> None:
    await _limit(rig, engine_pool, 4)
    await other.parts.namespaces.load(other.parts.pool)
    for _ in range(12):
        await rig.job(schedule={"every": "1h"})
    begin = rig.clock.ms + HOUR
    await rig.pass_time(HOUR - 500)
    other.parts.lease.renewed(other.clock.monotonic())
    for _ in range(200):
        for one in (rig, other):
            await one.tick()
            await one.send()
        await rig.pass_time(SECOND)
        other.parts.lease.renewed(other.clock.monotonic())
    rows = await engine_pool.fetch("SELECT started_at FROM runs")
    at = Counter((epoch_ms(row["started_at"]) - begin) // MINUTE for row in rows)
    assert at == {0: 4, 1: 4, 2: 4}


async def test_a_calendar_that_another_is_at_delays_only_its_namespace(
    rig: Rig, engine_pool: Pool
) -> None:
    await _limit(rig, engine_pool, 4)
    limited = await rig.job(schedule={"every": "1h"})
    free = await rig.job(schedule={"every": "1h"}, namespace="free")
    await rig.pass_time(HOUR - 500)
    await rig.tick()  # the first look makes the calendar
    async with transaction(engine_pool) as conn:
        await conn.execute("SELECT FROM run_calendars FOR UPDATE")
        await rig.pass_time(100)
        seconds = await rig.tick()
        assert {one.claim.job_id for one in rig.held()} == {free}
        assert seconds < 1
    await rig.pass_time(100)
    await rig.tick()
    assert {one.claim.job_id for one in rig.held()} == {free, limited}


@pytest.mark.parametrize("trigger", ["catch_up", "backfill"])
async def test_runs_of_the_past_have_half_of_each_minute_and_are_moved_once(
    rig: Rig, engine_pool: Pool, trigger: Any
) -> None:
    await _limit(rig, engine_pool, 4)
    job = await rig.job(schedule={"every": "30d"})
    begin = rig.clock.ms
    for n in range(6):
        await waiting_run(engine_pool, job, at_ms=begin - 10 + n, trigger=trigger, priority=-1000)
    await rig.pass_time(1)
    await _live(rig, 3.1)
    rows = await engine_pool.fetch("SELECT * FROM runs ORDER BY started_at")
    assert [row["status"] for row in rows] == ["succeeded"] * 6
    assert {row["attempt_count"] for row in rows} == {1}
    at = [(epoch_ms(row["started_at"]) - begin) // MINUTE for row in rows]
    assert at == [0, 0, 1, 1, 2, 2]


async def test_without_such_a_quota_no_calendar_is_asked_for(
    rig: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await _limit(rig, engine_pool, None)
    assert not rig.parts.namespaces.limit_runs
    await rig.job(schedule={"every": "1h"})
    await rig.pass_time(HOUR)
    await rig.work()
    assert len(receiver.requests) == 1
    assert await engine_pool.fetchval("SELECT count(*) FROM run_calendars") == 0


async def test_an_occurrence_that_is_skipped_by_quota_cancels_nothing_and_uses_up_no_run(
    rig: Rig, engine_pool: Pool
) -> None:
    await _limit(rig, engine_pool, 1)
    first = await rig.job(schedule={"every": "1m", "max_runs": 5}, overlap="cancel")
    second = await rig.job(schedule={"every": "1m", "max_runs": 5}, overlap="cancel")
    for job in (first, second):
        await waiting_run(engine_pool, job, at_ms=rig.clock.ms + HOUR)
    await rig.pass_time(MINUTE)
    await rig.tick()
    await rig.pass_time(50)
    await rig.tick()
    rows = await engine_pool.fetch("SELECT job_id, runs_made FROM job_timers")
    made = {row["job_id"]: row["runs_made"] for row in rows}
    assert sorted(made.values()) == [0, 1]
    cancelled = "SELECT job_id FROM runs WHERE status = 'cancelled'"
    assert [row[0] for row in await engine_pool.fetch(cancelled)] == [
        job for job, count in made.items() if count
    ]


@pytest.mark.parametrize("early_ms", [500, 0])
async def test_the_last_run_that_is_skipped_by_quota_leaves_its_turn_to_the_next_occurrence(
    rig: Rig, engine_pool: Pool, early_ms: int
) -> None:
    """Only runs that are sent count, so the job is completed when its last one was."""
    await _limit(rig, engine_pool, 1)
    job = await rig.job(schedule={"every": "1h", "max_runs": 2})
    await rig.pass_time(HOUR)
    await _live(rig, 0.1)
    await _fill(rig, engine_pool)
    await rig.pass_time(HOUR - early_ms - 6 * SECOND)
    await rig.tick()
    assert await rig.said(job) == [("succeeded", None), ("skipped", "quota")]
    timer = await rig.timer(job)
    assert timer["runs_made"] == 1
    assert timer["scheduled_for"] == instant_at(MORNING_MS + 3 * HOUR)
    await engine_pool.execute("UPDATE run_calendars SET given = '{}', past = '{}'")
    await rig.pass_time(HOUR + early_ms)
    await _live(rig, 0.1)
    assert [row["status"] for row in await rig.runs(job)] == ["succeeded", "skipped", "succeeded"]
    assert await rig.state(job) == "completed"


async def test_of_several_that_are_due_those_with_room_are_the_runs_that_max_runs_allows(
    rig: Rig, engine_pool: Pool
) -> None:
    """The first finds room, the others do not; so the last run is still to come."""
    await _limit(rig, engine_pool, 1)
    job = await rig.job(
        schedule={"every": "20s", "max_runs": 3}, overlap="allow", misfire={"grace": "1m"}
    )
    await rig.pass_time(65 * SECOND)
    await _fill(rig, engine_pool, free=1)
    await rig.tick()
    rows = await rig.runs(job)
    assert [(row["status"], row["reason"]) for row in rows[1:]] == [("skipped", "quota")] * 2
    assert rows[0]["reason"] is None
    assert (await rig.timer(job))["runs_made"] == 1
    assert await rig.state(job) == "active"
    await engine_pool.execute("UPDATE run_calendars SET given = '{}', past = '{}'")
    await _live(rig, 4)
    assert await rig.state(job) == "completed"
    said = Counter(await rig.said(job))
    assert said.pop(("succeeded", None)) == 3
    assert set(said) == {("skipped", "quota")}


async def test_a_day_that_is_full_refuses_all_that_is_due_after_a_few_turns(
    rig: Rig, engine_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deciding all of it anew for each of a thousand occurrences would hold up everything else."""
    await _limit(rig, engine_pool, 1)
    job = await rig.job(
        schedule={"every": "1s", "max_runs": 1}, overlap="allow", misfire={"grace": "1h"}
    )
    await rig.pass_time(40 * SECOND)
    await _fill(rig, engine_pool)
    turns = 0

    def counted(*args: Any, **given: Any) -> Any:
        nonlocal turns
        turns += 1
        return decide(*args, **given)

    monkeypatch.setattr(deciding, "decide", counted)
    await rig.tick()
    assert turns <= deciding.TURNS_MAX + 1
    assert set(await rig.said(job)) == {("skipped", "quota")}
    assert len(await rig.runs(job)) >= 40
    assert (await rig.timer(job))["runs_made"] == 0
    assert await rig.state(job) == "active"


async def _fill(rig: Rig, pool: Pool, *, free: int = 0) -> None:
    """Give every minute of the coming day and a half away, but for the first so many."""
    async with transaction(pool) as conn:
        calendar = await wait_for_calendar(conn, "default", now_ms=rig.clock.ms)
        calendar.given, calendar.changed = [0] * free + [1] * 2160, True
        calendar.past = [0] * len(calendar.given)
        await write_calendar(conn, "default", calendar)


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("bulk", [False, True])
async def test_an_edit_loses_no_occurrence_that_waits_for_its_minute(
    rig: Rig, engine_pool: Pool, *, claimed: bool, bulk: bool
) -> None:
    """It was due before the edit; only what is still to come is decided anew."""
    await _limit(rig, engine_pool, 1)
    jobs = [await rig.job(schedule={"every": "1h"}) for _ in range(2)]
    due = instant_at(rig.clock.ms + HOUR)
    await rig.pass_time(HOUR - 500)
    await _live(rig, 0.9 + 0.1 * claimed)
    (waits,) = [row for row in await rig.runs() if row["status"] in {"due", "running"}]
    assert (waits["status"] == "running") is claimed
    async with reporting(rig, lookahead_ms=0) as api:
        if bulk:
            body = {"action": "pause", "filter": {}, "expect_count": 2}
            answer = await api.http.post("/jobs/bulk-actions", json=body)
        else:
            path = f"/jobs/{waits['job_id']}"
            answer = await api.http.patch(path, json={"schedule": {"every": "2h"}})
        assert answer.status_code == 200, answer.text
    await upkeep.give_up(rig.parts, rig.parts.hand.unsent(), forget=True)
    await _live(rig, 1.5)
    rows = [row for row in await rig.runs() if row["scheduled_for"] == due]
    assert {row["job_id"] for row in rows} == set(jobs)
    assert [row["status"] for row in rows] == ["succeeded"] * 2


async def test_an_edit_takes_back_what_was_given_a_later_minute_ahead_of_its_instant(
    rig: Rig, engine_pool: Pool
) -> None:
    await _limit(rig, engine_pool, 1)
    for _ in range(2):
        await rig.job(schedule={"every": "1h"})
    await rig.pass_time(HOUR - 500)
    await rig.tick()  # the first look makes the calendar
    await rig.pass_time(100)
    await rig.tick()
    (waits,) = [row for row in await rig.runs() if row["status"] == "due"]
    async with reporting(rig, lookahead_ms=0) as api:
        path = f"/jobs/{waits['job_id']}"
        answer = await api.http.patch(path, json={"schedule": {"every": "2h"}})
        assert answer.status_code == 200, answer.text
    assert await rig.runs(waits["job_id"]) == []


@pytest.mark.parametrize("trigger", ["schedule", "catch_up"])
async def test_what_nobody_sent_in_its_minute_gets_another_and_does_not_come_all_at_once(
    rig: Rig, engine_pool: Pool, trigger: Any
) -> None:
    """All replicas were away, or the namespace was held, and the minutes given away passed."""
    await _limit(rig, engine_pool, 4)
    begin = rig.clock.ms
    for _ in range(12):
        job = await rig.job(schedule={"every": "1h"})
        if trigger == "catch_up":
            await waiting_run(engine_pool, job, at_ms=begin, trigger=trigger, priority=-1000)
    await rig.pass_time(HOUR - 500 if trigger == "schedule" else 1)
    await _live(rig, 0.1)
    begin = rig.clock.ms // MINUTE * MINUTE
    waits = {row["id"] for row in await rig.runs() if row["status"] == "due"}
    assert len(waits) > 6
    await rig.pass_time(10 * MINUTE)
    async with transaction(engine_pool) as conn:
        await conn.execute("SELECT FROM run_calendars FOR UPDATE")
        await rig.tick()
        assert rig.held() == [], "what can not be judged is looked at again"
    await _live(rig, 6)
    rows = [row for row in await rig.runs() if row["id"] in waits]
    assert {row["status"] for row in rows} == {"succeeded"}
    at = Counter((epoch_ms(row["started_at"]) - begin) // MINUTE for row in rows)
    assert max(at.values()) <= 4, "no minute has more than the quota"
    notes = [json.loads(row["deferral"]) for row in rows]
    assert {note["reason"] for note in notes} == {"quota"}
    assert {row["attempt_count"] for row in rows} == {1}
