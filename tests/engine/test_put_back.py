"""A timer that was put back: what has a row is left as it is, and all else is in the ledger once.

It is put back by hand, by an edit just before its instant whose holder is gone, or by a clock that
was set. None of that may take the row of an outage away.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from asyncpg import Record

from factories import MORNING_MS
from receiver import Receiver
from reports import reporting
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.engine import upkeep
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.timers import RECORDED_MAX

EVERY = {"every": "1h"}
POLICIES: list[dict[str, str]] = [
    {"policy": policy, **limit}
    for policy in ("once", "skip", "all")
    for limit in ({}, {"max_lateness": "4h"}, {"max_lateness": "20m"}, {"max_lateness": "7d"})
]


async def _put_back(rig: Rig, job: UUID, at_ms: int) -> None:
    await rig.parts.pool.execute(
        "UPDATE job_timers SET scheduled_for = $2, fire_at = $2 WHERE job_id = $1",
        job,
        instant_at(at_ms),
    )


async def _caught_up(rig: Rig) -> None:
    """Work on for as long as anything of the past waits."""
    for _ in range(300):
        await rig.work()
        if all(row["status"] not in {"due", "running"} for row in await rig.runs()):
            return
        await rig.pass_time(100)
    raise AssertionError("the past does not end")


def _covered(rows: Sequence[Record], period: int = HOUR) -> list[int]:
    """Return the occurrences that rows stand for, in hours or other periods after the morning."""
    found: list[int] = []
    for row in rows:
        first = (epoch_ms(row["scheduled_for"]) - MORNING_MS) // period
        found += range(first, first + row["occurrences"])
        if row["scheduled_until"] is not None:
            last = (epoch_ms(row["scheduled_until"]) - MORNING_MS) // period
            assert last == first + row["occurrences"] - 1
    return sorted(found)


@pytest.mark.parametrize("hours", [37, 37.5])
@pytest.mark.parametrize("overlap", ["allow", "skip"])
@pytest.mark.parametrize("misfire", POLICIES, ids=lambda rule: "-".join(rule.values()))
async def test_an_outage_after_it_was_put_back_by_hand_is_in_the_ledger_once(
    rig: Rig, misfire: dict[str, str], overlap: str, hours: float
) -> None:
    """Up to an instant that is on time, or half an hour longer."""
    job = await rig.job(schedule=EVERY, misfire=misfire, overlap=overlap)
    for _ in range(3):
        await rig.pass_time(HOUR)
        await rig.work()
    before = [tuple(row) for row in await rig.runs(job)]
    await _put_back(rig, job, MORNING_MS + HOUR)
    await rig.pass_time(int(hours * HOUR))
    await _caught_up(rig)
    rows = await rig.runs(job)
    assert _covered(rows) == list(range(1, 41))
    assert [tuple(row) for row in rows[:3]] == before
    assert (await rig.timer(job))["scheduled_for"] == instant_at(MORNING_MS + 41 * HOUR)
    assert {row["status"] for row in rows} <= {"succeeded", "skipped"}


@pytest.mark.parametrize("misfire", POLICIES, ids=lambda rule: "-".join(rule.values()))
async def test_one_that_was_put_back_to_where_a_range_begins_goes_on_behind_it(
    rig: Rig, misfire: dict[str, str]
) -> None:
    job = await rig.job(schedule=EVERY, misfire=misfire, overlap="allow")
    await rig.pass_time(int(10.5 * HOUR))
    await _caught_up(rig)
    before = [tuple(row) for row in await rig.runs(job)]
    assert _covered(await rig.runs(job)) == list(range(1, 11))
    await _put_back(rig, job, MORNING_MS + HOUR)
    await rig.pass_time(30 * HOUR)
    await _caught_up(rig)
    rows = await rig.runs(job)
    assert _covered(rows) == list(range(1, 41))
    assert [tuple(row) for row in rows[: len(before)]] == before


async def test_rows_between_which_occurrences_are_missing_are_gone_around(rig: Rig) -> None:
    """More of them than one decision knows: the next goes on where it ended."""
    job = await rig.job(schedule={"every": "1m"}, misfire={"policy": "skip"}, overlap="allow")
    count = 2 * RECORDED_MAX + 50
    there = [n for n in range(1, count) if n % 7]
    await rig.parts.pool.executemany(
        "INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, finished_at)"
        " VALUES ($1, $2, $3, 'default', 'schedule', 'succeeded', $2)",
        [
            (run_id(job, MORNING_MS + n * MINUTE), instant_at(MORNING_MS + n * MINUTE), job)
            for n in there
        ],
    )
    await rig.pass_time(600 * MINUTE + 30 * SECOND)
    for _ in range(4):
        await rig.work()
    rows = await rig.runs(job)
    assert _covered(rows, MINUTE) == list(range(1, 601))
    assert {row["reason"] for row in rows if row["status"] == "skipped"} == {"misfire"}
    assert [row["status"] for row in rows].count("succeeded") == len(there) + 1


async def test_a_run_that_is_there_already_is_not_counted_again(rig: Rig) -> None:
    job = await rig.job(schedule={"every": "1h", "max_runs": 3})
    await rig.pass_time(HOUR)
    await rig.work()
    await _put_back(rig, job, MORNING_MS + HOUR)
    await rig.work()
    assert (await rig.timer(job))["runs_made"] == 1
    for _ in range(2):
        await rig.pass_time(HOUR)
        await rig.work()
    assert await rig.said(job) == [("succeeded", None)] * 3
    assert await rig.state(job) == "completed"


async def test_max_runs_counts_what_was_made_before_and_the_rest_is_in_the_ledger(
    rig: Rig,
) -> None:
    job = await rig.job(
        schedule={"every": "1h", "max_runs": 5},
        misfire={"policy": "all", "max_lateness": "7d"},
        overlap="allow",
    )
    for _ in range(3):
        await rig.pass_time(HOUR)
        await rig.work()
    await _put_back(rig, job, MORNING_MS + HOUR)
    await rig.pass_time(int(7.5 * HOUR))
    await _caught_up(rig)
    rows = await rig.runs(job)
    assert _covered(rows) == list(range(1, 11))
    assert [row["status"] for row in rows] == ["succeeded"] * 5 + ["skipped"]
    assert await rig.state(job) == "completed"


EDITS: dict[str, Any] = {
    "schedule": [("PATCH", "", {"schedule": {"cron": "*/30 * * * *"}})],
    "pause and resume": [("POST", "/pause", {}), ("POST", "/resume", {})],
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("overlap", ["allow", "skip"])
@pytest.mark.parametrize("policy", ["once", "skip", "all"])
async def test_an_edit_just_before_an_outage_does_not_lose_it(
    engine_pool: Pool, receiver: Receiver, edit: str, overlap: str, policy: str
) -> None:
    """Its holder is gone before it gave up what it held, and the timer stands at that again."""
    async with rigged(engine_pool, receiver) as gone:
        job = await gone.job(
            schedule={"cron": "0 * * * *"},
            misfire={"policy": policy, "max_lateness": "7d"},
            overlap=overlap,
        )
        await gone.pass_time(HOUR - 500)
        await gone.tick()
        assert len(gone.held()) == 1
        async with reporting(gone, lookahead_ms=0) as api:
            for method, path, body in EDITS[edit]:
                answer = await api.http.request(method, f"/jobs/{job}{path}", json=body)
                assert answer.status_code == 200, answer.text
        assert (await gone.timer(job))["scheduled_for"] == instant_at(MORNING_MS + HOUR)
    period = HOUR // 2 if edit == "schedule" else HOUR
    gone.clock.move(39 * HOUR + 40 * MINUTE)
    async with rigged(engine_pool, receiver, clock=gone.clock) as rig:
        await rig.tick()
        await upkeep.rescue(rig.parts)
        await _caught_up(rig)
        rows = await rig.runs(job)
        last = (40 * HOUR + 30 * MINUTE) // period
        assert _covered(rows, period) == list(range(HOUR // period, last + 1))
        sent = [row for row in rows if row["status"] != "skipped"]
        assert (await rig.timer(job))["runs_made"] == len(sent)


@pytest.mark.parametrize("policy", ["once", "skip", "all"])
async def test_an_edit_of_what_was_put_back_and_is_overdue_writes_what_was_missed(
    rig: Rig, policy: str
) -> None:
    job = await rig.job(schedule={"cron": "0 * * * *"}, misfire={"policy": policy}, overlap="allow")
    for _ in range(3):
        await rig.pass_time(HOUR)
        await rig.work()
    await _put_back(rig, job, MORNING_MS + HOUR)
    await rig.pass_time(int(7.5 * HOUR))
    async with reporting(rig, lookahead_ms=0) as api:
        answer = await api.http.patch(f"/jobs/{job}", json={"schedule": {"cron": "*/30 * * * *"}})
        assert answer.status_code == 200, answer.text
    await _caught_up(rig)
    assert _covered(await rig.runs(job)) == list(range(1, 11))
    assert (await rig.timer(job))["scheduled_for"] == instant_at(MORNING_MS + 11 * HOUR)


async def test_an_edit_of_what_is_overdue_writes_all_of_it_however_much_is_on_time(
    rig: Rig,
) -> None:
    """One decision has a thousand at most."""
    schedule = {"every": "1s", "anchor": "2026-01-05T08:00:00Z"}
    misfire = {"policy": "skip", "grace": "1h"}
    job = await rig.job(schedule=schedule, misfire=misfire, overlap="skip")
    await rig.pass_time(2500 * SECOND)
    async with reporting(rig, lookahead_ms=0) as api:
        answer = await api.http.patch(f"/jobs/{job}", json={"schedule": {"every": "1h"}})
        assert answer.status_code == 200, answer.text
    rows = await rig.runs(job)
    assert _covered(rows, SECOND) == list(range(1, 2501))
    assert [row["reason"] for row in rows].count("overlap") == 2499


@pytest.mark.parametrize("policy", ["once", "skip", "all"])
async def test_a_range_that_begins_in_a_hole_goes_around_the_rows_behind_it(
    rig: Rig, policy: str
) -> None:
    """The first pass ends behind as many rows as it knows, where none is, and others follow."""
    misfire = {"policy": policy, "max_lateness": "7d"}
    job = await rig.job(schedule={"every": "1m"}, misfire=misfire, overlap="allow")
    there = [n for n in range(1, 151) if n != RECORDED_MAX + 1]
    at = [instant_at(MORNING_MS + n * MINUTE) for n in there]
    await rig.parts.pool.execute(
        "INSERT INTO runs"
        " (id, scheduled_for, job_id, namespace, trigger, status, finished_at)"
        " SELECT id, at, $3, 'default', 'schedule', 'succeeded', at"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS one (id, at)",
        [run_id(job, MORNING_MS + n * MINUTE) for n in there],
        at,
        job,
    )
    await rig.pass_time(200 * MINUTE + 30 * SECOND)
    for _ in range(3):  # nothing waits in between
        await rig.work()
    await _caught_up(rig)
    assert _covered(await rig.runs(job), MINUTE) == list(range(1, 201))


@pytest.mark.parametrize("policy", ["once", "skip"])
async def test_a_clock_that_was_set_back_before_an_edit_and_an_outage_counts_nothing_twice(
    rig: Rig, policy: str
) -> None:
    job = await rig.job(schedule={"cron": "0 * * * *"}, misfire={"policy": policy}, overlap="allow")
    for _ in range(6):
        await rig.pass_time(HOUR)
        await rig.work()
    rig.clock.ms = MORNING_MS + HOUR + 10 * MINUTE
    async with reporting(rig, lookahead_ms=0) as api:
        answer = await api.http.patch(f"/jobs/{job}", json={"schedule": {"cron": "*/30 * * * *"}})
        assert answer.status_code == 200, answer.text
    assert (await rig.timer(job))["scheduled_for"] == instant_at(MORNING_MS + 90 * MINUTE)
    await rig.pass_time(20 * HOUR)
    await _caught_up(rig)
    assert _covered(await rig.runs(job), HOUR // 2) == list(range(2, 43))
