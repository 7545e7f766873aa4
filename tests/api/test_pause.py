"""Pause and resume: the cadence goes on underneath, and what passed is in the ledger."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from factories import MORNING_MS, Clock, Json, body, claim, create, forget, settle
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
HALF_PAST_ELEVEN = MORNING_MS + 3 * HOUR_MS + HOUR_MS // 2


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def post(http: httpx2.AsyncClient, path: str, sent: Any = None) -> Json:
    answer = await http.post(path, json=sent) if sent is not None else await http.post(path)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


async def ledger(http: httpx2.AsyncClient, key: str) -> list[tuple[Any, ...]]:
    items = (await http.get(f"/jobs/{key}/runs")).json()["items"]
    return [
        (
            run["scheduled_for"][11:16],
            run["status"],
            run["reason"],
            run["trigger"],
            run["occurrences"],
            run["scheduled_until"] and run["scheduled_until"][11:16],
        )
        for run in items
    ]


async def test_a_paused_job_says_why_and_since_when_and_fires_no_more(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="p")
    answer = await http.post("/jobs/p/pause", json={"reason": "moving house"})
    told = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    assert (told["state"], told["next_fire_at"]) == ("paused", None)
    assert told["pause"] == {
        "reason": "moving house",
        "since": "2026-01-05T08:00:00Z",
        "until": None,
        "by": None,
    }
    assert await claim(pool, now_ms=MORNING_MS + 10 * HOUR_MS) == []


async def test_both_are_idempotent_and_need_no_body(http: httpx2.AsyncClient, clock: Clock) -> None:
    made = await create(http, name="p")
    assert await post(http, "/jobs/p/resume") == made
    first = await post(http, "/jobs/p/pause", {"reason": "first"})
    clock.ms = MORNING_MS + 1000
    assert await post(http, "/jobs/p/pause", {"reason": "second"}) == first
    assert (await post(http, "/jobs/p/resume"))["state"] == "active"
    assert (await post(http, "/jobs/p/resume"))["revision"] == 3


async def test_a_pause_may_say_when_it_ends(http: httpx2.AsyncClient, pool: Pool) -> None:
    await create(http, name="p")
    told = await post(http, "/jobs/p/pause", {"until": "2026-01-05T12:30:00.0005+01:00"})
    assert told["pause"]["until"] == "2026-01-05T11:30:00Z"
    assert (told["state"], told["next_fire_at"]) == ("paused", None)
    assert await pool.fetchval("SELECT fire_at FROM job_timers") == instant_at(HALF_PAST_ELEVEN)


@pytest.mark.parametrize("until", ["2026-01-05T08:00:00Z", "2025-12-31T00:00:00Z", "2026-01-06"])
async def test_a_pause_ends_in_the_future_or_is_refused(
    http: httpx2.AsyncClient, until: str
) -> None:
    await create(http, name="p")
    answer = await http.post("/jobs/p/pause", json={"until": until})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/until"]


async def test_the_end_of_a_pause_can_be_moved_and_is_not_lost_by_a_second_one(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="p")
    first = await post(http, "/jobs/p/pause", {"reason": "x", "until": "2026-01-05T10:30:00Z"})
    assert await post(http, "/jobs/p/pause", {"reason": "y"}) == first
    moved = await post(http, "/jobs/p/pause", {"until": "2026-01-05T11:30:00Z"})
    assert (moved["pause"]["reason"], moved["pause"]["until"]) == ("x", "2026-01-05T11:30:00Z")
    assert moved["revision"] == first["revision"] + 1
    assert await pool.fetchval("SELECT fire_at FROM job_timers") == instant_at(HALF_PAST_ELEVEN)


async def test_another_schedule_given_while_paused_keeps_the_end_of_the_pause(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="p")
    await post(http, "/jobs/p/pause", {"until": "2026-01-05T11:30:00Z"})
    told = (await http.put("/jobs/p", json=body(schedule={"cron": "30 * * * *"}))).json()
    assert told["pause"]["until"] == "2026-01-05T11:30:00Z"
    assert await pool.fetchval("SELECT fire_at FROM job_timers") == instant_at(HALF_PAST_ELEVEN)


async def test_a_job_resumed_by_hand_is_not_resumed_again(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(http, name="p")
    await post(http, "/jobs/p/pause", {"until": "2026-01-05T11:30:00Z"})
    told = await post(http, "/jobs/p/resume")
    assert (told["pause"], told["next_fire_at"]) == (None, made["next_fire_at"])


async def test_a_job_whose_pause_will_end_is_listed_with_those_that_fire_at_no_time(
    http: httpx2.AsyncClient,
) -> None:
    for name in ("a", "b", "c"):
        await create(http, name=name)
    await post(http, "/jobs/a/pause", {"until": "2026-01-05T08:30:00Z"})
    for sort in ("next_fire_at", "-next_fire_at"):
        seen: list[str] = []
        path = f"/jobs?sort={sort}&limit=1"
        while path:
            page = await http.get(path)
            seen += [item["name"] for item in page.json()["items"]]
            path = page.links["next"]["url"] if page.json()["next_cursor"] else ""
        assert (len(seen), seen[-1]) == (3, "a")


@pytest.mark.parametrize(
    ("path", "sent", "pointer"),
    [
        ("pause", {"reasn": "x"}, "/reasn"),
        ("pause", {"reason": 1}, "/reason"),
        ("resume", {"missed": "some"}, "/missed"),
    ],
)
async def test_a_bad_body_is_refused_with_its_pointer(
    http: httpx2.AsyncClient, path: str, sent: Json, pointer: str
) -> None:
    await create(http, name="p")
    answer = await http.post(f"/jobs/p/{path}", json=sent)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_the_cadence_after_a_pause_is_where_it_would_have_been(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="p", schedule={"every": "1h"})
    await post(http, "/jobs/p/pause")
    clock.ms = HALF_PAST_ELEVEN
    assert (await post(http, "/jobs/p/resume"))["next_fire_at"] == "2026-01-05T12:00:00Z"


ROW = ("09:00", "skipped", "paused", "schedule", 3, "11:00")
SENT = [(f"{hour:02}:00", "due", None, "catch_up", 1, None) for hour in (11, 10, 9)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, [ROW]),
        ({"missed": "skip"}, [ROW]),
        (
            {"missed": "once"},
            [SENT[0], ("09:00", "skipped", "merged", "schedule", 2, "10:00")],
        ),
        ({"missed": "all"}, SENT),
    ],
)
async def test_what_passed_is_one_row_or_caught_up_as_resume_says(
    http: httpx2.AsyncClient, clock: Clock, sent: Any, expected: list[tuple[Any, ...]]
) -> None:
    await create(http, name="p", overlap="allow")
    await post(http, "/jobs/p/pause")
    clock.ms = HALF_PAST_ELEVEN
    await post(http, "/jobs/p/resume", sent)
    assert await ledger(http, "p") == expected


async def test_a_pause_in_which_nothing_passed_writes_nothing(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="p")
    await post(http, "/jobs/p/pause")
    clock.ms = MORNING_MS + HOUR_MS // 2
    told = await post(http, "/jobs/p/resume", {"missed": "all"})
    assert told["next_fire_at"] == "2026-01-05T09:00:00Z"
    assert await ledger(http, "p") == []


async def test_what_was_due_before_the_pause_and_not_claimed_counts_as_paused(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="p")
    clock.ms = MORNING_MS + HOUR_MS + 60_000
    await post(http, "/jobs/p/pause")
    clock.ms = HALF_PAST_ELEVEN
    await post(http, "/jobs/p/resume")
    assert await ledger(http, "p") == [ROW]


async def test_caught_up_runs_go_one_after_the_other_unless_overlap_is_allowed(
    http: httpx2.AsyncClient, clock: Clock, pool: Pool
) -> None:
    await create(http, name="p", overlap="skip")
    await post(http, "/jobs/p/pause")
    clock.ms = HALF_PAST_ELEVEN
    await post(http, "/jobs/p/resume", {"missed": "all"})
    rows = await pool.fetch("SELECT queued FROM runs ORDER BY scheduled_for")
    assert [row["queued"] for row in rows] == [False, True, True]


async def test_several_pauses_account_for_every_occurrence_once(
    http: httpx2.AsyncClient, clock: Clock, pool: Pool
) -> None:
    made = await create(http, name="p")
    for hour in (1, 4, 7):
        clock.ms = MORNING_MS + hour * HOUR_MS
        (decision,) = await claim(pool, now_ms=clock.ms)
        await settle(pool, str(decision.runs[-1].id), made["id"], now_ms=clock.ms)
        clock.ms += 60_000
        await post(http, "/jobs/p/pause")
        clock.ms = MORNING_MS + (hour + 2) * HOUR_MS + 60_000
        await post(http, "/jobs/p/resume")
    assert [(at, status, count) for at, status, _, _, count, _ in await ledger(http, "p")] == [
        ("16:00", "skipped", 2),
        ("15:00", "succeeded", 1),
        ("13:00", "skipped", 2),
        ("12:00", "succeeded", 1),
        ("10:00", "skipped", 2),
        ("09:00", "succeeded", 1),
    ]


async def test_another_schedule_given_while_paused_leaves_what_the_old_one_missed_in_the_ledger(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="p", schedule={"cron": "0 * * * *"})
    await post(http, "/jobs/p/pause")
    clock.ms = MORNING_MS + 2 * HOUR_MS + 45 * 60_000
    await http.put("/jobs/p", json=body(schedule={"cron": "30 * * * *"}))
    clock.ms = MORNING_MS + 4 * HOUR_MS + 60_000
    told = await post(http, "/jobs/p/resume")
    assert told["next_fire_at"] == "2026-01-05T12:30:00Z"
    assert await ledger(http, "p") == [
        ("11:30", "skipped", "paused", "schedule", 1, None),
        ("09:00", "skipped", "paused", "schedule", 2, "10:00"),
    ]


async def test_an_occurrence_in_wait_for_its_spread_is_kept_by_a_short_pause(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    made = await create(http, name="p", schedule={"cron": "0 * * * *", "spread": "50m"})
    clock.ms = MORNING_MS + HOUR_MS + 1
    await post(http, "/jobs/p/pause")
    told = await post(http, "/jobs/p/resume")
    assert told["next_fire_at"] == made["next_fire_at"]
    assert await ledger(http, "p") == []


async def test_a_run_that_left_while_its_job_was_being_paused_is_not_written_twice(
    http: httpx2.AsyncClient, clock: Clock, pool: Pool
) -> None:
    await create(http, name="p")
    replica = uuid4()
    clock.ms = MORNING_MS + HOUR_MS - 100
    (decision,) = await claim(pool, now_ms=clock.ms, replica=replica)
    clock.ms = None  # the holder does not answer, and its instant is long past by this clock
    await post(http, "/jobs/p/pause")
    await pool.execute(
        "UPDATE jobs SET pause = $1", '{"reason":null,"since":"2026-01-05T08:59:59Z"}'
    )
    clock.ms = MORNING_MS + 2 * HOUR_MS + 1
    await post(http, "/jobs/p/resume")
    assert [(row[0], row[1], row[4]) for row in await ledger(http, "p")] == [
        ("10:00", "skipped", 1),
        ("09:00", "running", 1),
    ]
    assert decision.runs[0].status == "running"


async def test_what_was_given_up_unsent_at_a_pause_is_among_what_passed(
    http: httpx2.AsyncClient, clock: Clock, pool: Pool
) -> None:
    await create(http, name="p", schedule={"every": "1h", "max_runs": 5})
    replica = uuid4()
    clock.ms = MORNING_MS + HOUR_MS - 100
    (decision,) = await claim(pool, now_ms=clock.ms, replica=replica)
    await post(http, "/jobs/p/pause")
    await forget(pool, decision.runs[0].id, replica)
    clock.ms = MORNING_MS + 2 * HOUR_MS + 1
    told = await post(http, "/jobs/p/resume")
    assert await ledger(http, "p") == [("09:00", "skipped", "paused", "schedule", 2, "10:00")]
    assert len(told["upcoming"]) == 5


async def test_a_resumed_job_with_nothing_left_is_completed(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="p", schedule={"at": "2026-01-05T09:00:00Z"})
    await post(http, "/jobs/p/pause")
    clock.ms = MORNING_MS + 2 * HOUR_MS
    told = await post(http, "/jobs/p/resume", {"missed": "once"})
    assert (told["state"], told["next_fire_at"], told["upcoming"]) == ("completed", None, [])
    assert await ledger(http, "p") == [("09:00", "due", None, "catch_up", 1, None)]


async def test_no_more_is_caught_up_than_max_runs_allows(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="p", schedule={"every": "1h", "max_runs": 2}, overlap="allow")
    await post(http, "/jobs/p/pause")
    clock.ms = HALF_PAST_ELEVEN
    told = await post(http, "/jobs/p/resume", {"missed": "all"})
    assert told["state"] == "completed"
    assert [row[1] for row in await ledger(http, "p")].count("due") == 2
