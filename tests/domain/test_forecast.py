"""The forecast counts what the engine's own functions would name, minute by minute and by host."""

import random
from collections import Counter
from uuid import UUID

import msgspec
import pytest

from counting import calls
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
BERLIN_MS = 1_774_745_400_000  # 2026-03-29T00:50:00Z, ten minutes before that
MONROVIA_MS = 63_592_800_000  # 1972-01-07T00:40:00Z; at 00:44:30 its clock went forward
BUSY = [
    '{"every": "1s", "exclude": ["*/2 * * * * *"]}',
    '{"every": "1s", "exclude": ["0-29 * * * * *", "*/7 * * * *", "59 8 * * *"]}',
    '{"every": "1s", "exclude": ["H/3 * * * *", "H * * * * *"]}',
    '{"every": "1s", "exclude": ["30-59 * 3 * * *"], "timezone": "Europe/Berlin"}',
    '{"every": "1500ms", "exclude": ["15-44 * * * * *"], "timezone": "Africa/Monrovia"}',
    '{"every": "1s", "exclude": ["* 0 * * *"], "timezone": "Africa/Monrovia"}',
    '{"every": "1s", "spread": "900ms"}',
    '{"every": "1s", "spread": "900ms", "exclude": ["*/5 * * * * *"]}',
    '{"every": "61s", "spread": "40s", "exclude": ["*/2 * * * *"]}',
    '{"every": "20m", "spread": "5m", "exclude": ["30-59 * * * *"]}',
    '{"every": "1s", "max_runs": 700}',
    '{"every": "1s", "max_runs": 700, "spread": "900ms", "exclude": ["0-9 * * * * *"]}',
    (
        '{"every": "1s", "start": "2026-01-05T08:02:01.5Z", "end": "2026-01-05T08:20:30.25Z",'
        ' "exclude": [{"from": "2026-01-05T08:05:07.75Z", "to": "2026-01-05T08:08:00Z"}]}'
    ),
    (
        '{"cron": "*/3 * * * * *", "exclude": ["*/2 * * * *", "9-20 * * * * *",'
        ' {"from": "2026-01-05T08:05:07.75Z", "to": "2026-01-05T08:08:00Z"}]}'
    ),
    '{"cron": "* * * * *", "exclude": ["5-9 * * * *"], "start": "2026-01-05T08:02:00.5Z"}',
    '{"cron": "*/7 * * * * *", "exclude": ["50 * * * *"], "timezone": "Africa/Monrovia"}',
    '{"cron": "*/2 * * * * *", "max_runs": 300, "exclude": ["*/2 * * * *"]}',
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
        limit, n, at = schedule.max_runs, 0, low - HOUR_MS  # more than any spread here
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
    compared(jobs, low, high)


@pytest.mark.parametrize(
    ("now_ms", "after_ms", "long_ms"),
    [
        (MORNING_MS, 0, 30 * MINUTE_MS),
        (MORNING_MS + 12_345, 0, 20 * MINUTE_MS + 1),
        (MORNING_MS + 400, 8 * MINUTE_MS, 95_432),
        (BERLIN_MS + 700, 0, 20 * MINUTE_MS),
        (MONROVIA_MS, 0, 10 * MINUTE_MS),
    ],
)
def test_what_fires_each_second_but_when_it_is_excluded_is_what_walking_finds(
    now_ms: int, after_ms: int, long_ms: int
) -> None:
    jobs = [made(n, BUSY[n % len(BUSY)], now_ms) for n in range(2 * len(BUSY))]
    low = now_ms + after_ms
    for each in range(len(BUSY)):
        compared(jobs[each :: len(BUSY)], low, low + long_ms)
    compared(jobs, low, low + long_ms)


def compared(jobs: list[ForecastJob], low: int, high: int) -> None:
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


@pytest.mark.parametrize(
    "schedule",
    [
        '{"every": "1s", "exclude": ["*/2 * * * * *"]}',
        '{"every": "1s", "spread": "900ms", "exclude": ["0-29 * * * * *"]}',
        '{"every": "1s", "max_runs": 1000000, "exclude": ["*/2 * * * * *"]}',
        '{"cron": "* * * * * *", "exclude": ["*/2 * * * * *"]}',
    ],
)
def test_a_minute_costs_the_same_whatever_is_excluded_in_it(schedule: str) -> None:
    jobs = [made(3, schedule, MORNING_MS)]
    counted(jobs, MORNING_MS, MORNING_MS + HOUR_MS)  # what is remembered between forecasts
    with calls() as told:
        counted(jobs, MORNING_MS, MORNING_MS + 10 * HOUR_MS)
    assert sum(told().values()) < 600 * 20


def test_jobs_that_exclude_the_same_are_counted_together() -> None:
    jobs = [
        made(3 * n, '{"every": "1s", "exclude": ["*/2 * * * * *"]}', MORNING_MS) for n in range(50)
    ]
    counted(jobs[:1], MORNING_MS, MORNING_MS + HOUR_MS)
    with calls() as told:
        counted(jobs, MORNING_MS, MORNING_MS + HOUR_MS)
    assert sum(told().values()) < 60 * 20 + len(jobs) * 20


def test_jobs_that_only_differ_in_their_spread_are_counted_together() -> None:
    jobs = [made(3 * n, '{"every": "10s", "spread": "9s"}', MORNING_MS) for n in range(50)]
    counted(jobs[:1], MORNING_MS, MORNING_MS + HOUR_MS)
    with calls() as told:
        counted(jobs, MORNING_MS, MORNING_MS + HOUR_MS)
    assert sum(told().values()) < 60 * 20 + len(jobs) * 20
