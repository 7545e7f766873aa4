"""The forecast shows a herd and its cure; creating a job that joins one is warned."""

import asyncio
from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, Clock, body, create
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Pool

HERD = 10_000
CREATED = instant_at(MORNING_MS - 86_400_000)
NINE = "2026-01-05T09:00:00Z"


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def seed(pool: Pool, cron: str, count: int = HERD, *, namespace: str = "default") -> None:
    """Store many jobs of one expression, next due at nine."""
    async with pool.acquire() as conn:
        await conn.execute(
            """
            WITH made AS (
                INSERT INTO jobs SELECT gen_random_uuid(), $6, NULL, '', '{}',
                    json_build_object('schedule', json_build_object('cron', $1::text),
                        'target', json_build_object('url', $2::text)),
                    'active', NULL, 1, $3, $3 FROM generate_series(1, $4::integer)
                RETURNING id
            )
            INSERT INTO job_timers SELECT id, $5::timestamptz, $5::timestamptz, 1 FROM made
            """,
            cron,
            "http://a.example.com/",
            CREATED,
            count,
            instant_at(MORNING_MS + 3_600_000),
            namespace,
        )


async def forecast(http: httpx2.AsyncClient, **params: str) -> dict[str, Any]:
    answer = await http.get("/forecast", params=params)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_the_forecast_shows_a_herd(http: httpx2.AsyncClient, pool: Pool) -> None:
    await seed(pool, "0 9 * * *")
    told = await forecast(http)
    assert (told["from"], told["to"]) == ("2026-01-05T08:00:00Z", "2026-01-06T08:00:00Z")
    assert told["minutes"] == [{"at": NINE, "count": HERD}]
    assert told["targets"] == [{"host": "a.example.com", "count": HERD, "peak_per_minute": HERD}]


async def test_the_forecast_shows_the_cure(http: httpx2.AsyncClient, pool: Pool) -> None:
    await seed(pool, "H 9 * * *")
    told = await forecast(http)
    counts = [minute["count"] for minute in told["minutes"]]
    assert (len(counts), sum(counts)) == (60, HERD)
    assert max(counts) < 1.5 * HERD / 60
    assert told["targets"][0]["peak_per_minute"] == max(counts)


async def test_the_loop_gets_its_turn_while_a_forecast_counts(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await seed(pool, "H * * * *", 3 * HERD)
    asked = asyncio.create_task(forecast(http))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    assert sum(minute["count"] for minute in asked.result()["minutes"]) == 3 * HERD * 24
    assert turns > 100


async def test_hosts_are_counted_apart_and_paused_jobs_not_at_all(
    http: httpx2.AsyncClient,
) -> None:
    for name, host, every in (("a", "one", "30m"), ("b", "one", "1h"), ("c", "two", "20m")):
        target = {"url": f"https://{host}.example.com/{name}"}
        await create(http, name=name, schedule={"every": every}, target=target)
    await create(http, name="d", schedule={"every": "1m"})
    await http.post("/jobs/d/pause")
    told = await forecast(http, **{"from": "2026-01-05T09:00:00Z", "to": "2026-01-05T11:00:00Z"})
    assert told["targets"] == [
        {"host": "one.example.com", "count": 6, "peak_per_minute": 2},
        {"host": "two.example.com", "count": 6, "peak_per_minute": 1},
    ]
    assert [minute["count"] for minute in told["minutes"]] == [3, 1, 1, 1, 3, 1, 1, 1]


async def test_a_job_with_a_nul_in_its_body_is_counted_like_any_other(
    http: httpx2.AsyncClient,
) -> None:
    """PostgreSQL reads no JSON that has one."""
    await create(http, name="a", target={"body": {"text": "a\0b"}})
    assert (await forecast(http))["targets"][0]["count"] == 24


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"from": "now"}, "from"),
        ({"to": "2026-01-05T07:00:00Z"}, "to"),
        ({"from": "2026-01-05T08:00:00Z", "to": "2026-01-05T08:00:00Z"}, "to"),
        ({"from": "2026-01-05T08:00:00Z", "to": "2026-01-12T08:00:00.001Z"}, "to"),
        ({"from": "1969-01-05T08:00:00Z"}, "from"),
        ({"until": "2026-01-12T08:00:00Z"}, "until"),
    ],
)
async def test_a_window_that_can_not_be_is_named(
    http: httpx2.AsyncClient, params: dict[str, str], named: str
) -> None:
    answer = await http.get("/forecast", params=params)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [named]


async def test_a_job_that_joins_a_herd_is_warned_wherever_it_is_shown_first(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await seed(pool, "0 9 * * *", 312)
    schedule = {"cron": "0 9 * * *"}
    expected = [
        {
            "code": "herd",
            "detail": "312 jobs already fire in this minute; `H` would spread them.",
            "at": NINE,
        }
    ]
    sent = body(schedule=schedule)
    dry = await http.post("/jobs?dry_run=true", json=sent)
    shown = await http.post("/schedules/preview", json={"schedule": schedule})
    put = await http.put("/jobs/a", json=sent)
    for answer in (dry, shown, put):
        assert answer.json()["warnings"] == expected
    expected[0]["detail"] = "313 jobs already fire in this minute; `H` would spread them."
    assert (await create(http, schedule=schedule))["warnings"] == expected
    await create(http, name="b", schedule={"cron": "0 10 * * *"})
    patched = await http.patch("/jobs/b", json={"schedule": schedule})
    expected[0]["detail"] = "314 jobs already fire in this minute; `H` would spread them."
    assert patched.json()["warnings"] == expected


async def test_jobs_of_another_namespace_are_no_herd_and_are_not_counted(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await seed(pool, "0 9 * * *", 312, namespace="other")
    schedule = {"cron": "0 9 * * *"}
    assert (await create(http, schedule=schedule))["warnings"] == []
    shown = await http.post("/schedules/preview", json={"schedule": schedule})
    assert shown.json()["warnings"] == []
    theirs = {"Scheduler-Namespace": "other"}
    made = await http.post("/jobs", json=body(schedule=schedule), headers=theirs)
    assert made.json()["warnings"][0]["detail"].startswith("312 jobs")


@pytest.mark.parametrize(
    "schedule",
    [
        {"cron": "H 9 * * *"},
        {"cron": "0 9 * * *", "spread": "10m"},
        {"cron": "* 9 * * *"},
        {"cron": "1 9 * * *"},
    ],
)
async def test_a_job_that_is_spread_or_elsewhere_is_not_warned(
    http: httpx2.AsyncClient, pool: Pool, schedule: Any
) -> None:
    await seed(pool, "0 9 * * *", 312)
    assert (await create(http, schedule=schedule))["warnings"] == []


async def test_ninety_nine_are_no_herd_and_an_interval_is_told_of_spread(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await seed(pool, "0 9 * * *", 99)
    schedule = {"every": "1h"}
    assert (await create(http, schedule=schedule))["warnings"] == []
    (warning,) = (await create(http, schedule=schedule))["warnings"]
    assert warning["detail"] == "100 jobs already fire in this minute; `spread` would spread them."
