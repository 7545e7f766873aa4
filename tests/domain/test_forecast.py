"""The forecast counts what the engine's own functions would name, minute by minute and by host."""

import random
from collections import Counter
from uuid import UUID

import msgspec
import pytest

from factories import MORNING_MS
from scheduler_svc.domain.forecast import Forecast, ForecastJob
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import compile_schedule, fire_at, next_after
from scheduler_svc.domain.schedule import Schedule

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
SPRING_MS = 1_774_659_600_000  # 2026-03-28T01:00:00Z, a day before Berlin's clock goes forward
SCHEDULES = [
    '{"cron": "0 9 * * *"}',
    '{"cron": "H 9 * * *"}',
    '{"cron": "*/7 * * * *", "timezone": "Europe/Berlin"}',
    '{"cron": "30 2 * * *", "timezone": "Europe/Berlin"}',
    '{"cron": "*/20 15 9 * * *"}',
    '{"cron": ["0 9 * * *", "*/30 * * * *"], "exclude": ["* 10 * * *"]}',
    '{"cron": "0 * * * *", "spread": "20m"}',
    '{"cron": "0 * * * *", "max_runs": 5}',
    '{"cron": "0 * * * *", "start": "2026-01-05T12:30:00Z", "end": "2026-03-28T22:00:00Z"}',
    '{"cron": "15 */3 * * *", "timezone": "Asia/Kathmandu"}',
    '{"every": "45s"}',
    '{"every": "1m"}',
    '{"every": "7m"}',
    '{"every": "90m"}',
    '{"every": "1d"}',
    '{"every": "25m", "anchor": "2026-01-05T11:11:11.5Z"}',
    '{"every": "5m", "spread": "90s"}',
    '{"at": ["2026-01-05T09:00:00Z", "2026-03-28T12:00:30Z"]}',
]


def made(n: int, schedule: str, now_ms: int) -> ForecastJob:
    chance = random.Random(n)
    return ForecastJob(
        id=UUID(int=chance.getrandbits(128)),
        created_at=instant_at(now_ms - chance.randrange(1, 10 * DAY_MS)),
        schedule=schedule,
        host=f"host-{n % 3}",
        from_ms=now_ms,
        runs_made=n % 4,
    )


def by_walking(jobs: list[ForecastJob], low: int, high: int) -> dict[str, Counter[int]]:
    """Ask the engine's functions for one occurrence after the other."""
    found: dict[str, Counter[int]] = {}
    for job in jobs:
        schedule = msgspec.json.decode(job.schedule, type=Schedule)
        timetable = compile_schedule(schedule, job_id=job.id, created_at=job.created_at)
        limit, n, at = schedule.max_runs, 0, job.from_ms - DAY_MS
        if job.paused or limit is not None:
            at = job.from_ms - 1
        counts = found.setdefault(job.host, Counter())
        while (following := next_after(timetable, at)) is not None and following < high:
            if limit is not None and n >= limit - job.runs_made:
                break
            n, at = n + 1, following
            if low <= fire_at(timetable, at) < high:
                counts[fire_at(timetable, at) // MINUTE_MS * MINUTE_MS] += 1
    return found


def counted(jobs: list[ForecastJob], low: int, high: int) -> Forecast:
    forecast = Forecast(low, high)
    for _ in forecast.fill(jobs):
        pass
    for _ in forecast.steps():
        pass
    return forecast


@pytest.mark.parametrize(
    ("now_ms", "after_ms", "long_ms"),
    [
        (MORNING_MS, 0, DAY_MS),
        (MORNING_MS + 12_345, 0, 3 * HOUR_MS + 1),
        (MORNING_MS, 5 * HOUR_MS + 30_000, 90_000),
        (SPRING_MS, 0, 3 * DAY_MS),
    ],
)
def test_a_forecast_is_what_walking_each_job_finds(
    now_ms: int, after_ms: int, long_ms: int
) -> None:
    jobs = [made(n, SCHEDULES[n % len(SCHEDULES)], now_ms) for n in range(6 * len(SCHEDULES))]
    low, high = now_ms + after_ms, now_ms + after_ms + long_ms
    walked = by_walking(jobs, low, high)
    forecast = counted(jobs, low, high)
    assert forecast.minutes() == sorted(sum(walked.values(), Counter()).items())
    assert {one.host: (one.count, one.peak_per_minute) for one in forecast.hosts()} == {
        host: (counts.total(), max(counts.values())) for host, counts in walked.items() if counts
    }
    assert [one.count for one in forecast.hosts()] == sorted(
        (counts.total() for counts in walked.values() if counts), reverse=True
    )


def test_many_jobs_of_one_interval_count_as_each_of_them_alone() -> None:
    jobs = [made(3 * n, f'{{"every": "{text}"}}', MORNING_MS) for n, text in
            enumerate(["10s", "90s", "1h"] * 100)]  # fmt: skip
    low, high = MORNING_MS, MORNING_MS + 2 * HOUR_MS
    walked = by_walking(jobs, low, high)
    assert counted(jobs, low, high).minutes() == sorted(walked["host-0"].items())


def test_a_paused_job_that_resumes_itself_counts_from_then_on() -> None:
    job = msgspec.structs.replace(
        made(0, '{"every": "1m"}', MORNING_MS), paused=True, from_ms=MORNING_MS + 10 * MINUTE_MS
    )
    found = counted([job], MORNING_MS, MORNING_MS + 30 * MINUTE_MS).minutes()
    assert len(found) == 20
    assert found[0][0] >= MORNING_MS + 10 * MINUTE_MS


def test_a_job_whose_runs_are_spent_counts_nothing() -> None:
    job = msgspec.structs.replace(
        made(0, '{"cron": "* * * * *", "max_runs": 3}', MORNING_MS), runs_made=3
    )
    assert counted([job], MORNING_MS, MORNING_MS + HOUR_MS).minutes() == []


def test_an_interval_that_begins_within_the_window_begins_there() -> None:
    job = made(0, '{"every": "10m", "anchor": "2026-01-05T08:25:00Z"}', MORNING_MS)
    (first, *_) = counted([job], MORNING_MS, MORNING_MS + HOUR_MS).minutes()
    assert first == (epoch_ms(instant_at(MORNING_MS + 25 * MINUTE_MS)), 1)
