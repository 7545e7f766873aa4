"""What a simulation comes to is counted right: by minute and host, and by what became of runs."""

from datetime import datetime
from random import Random
from uuid import UUID

import pytest

from factories import MORNING_MS, definition
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.simulate import Happening, SimulatedJob, simulate
from scheduler_svc.domain.simulated_load import Load, clock_changes

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def planned(number: int = 1, **changes: object) -> PlannedJob:
    return plan_job(UUID(int=number), "default", 1, definition(**changes), instant_at(MORNING_MS))


def load_of(jobs: list[SimulatedJob], hours: int) -> tuple[Load, list[Happening]]:
    end_ms = MORNING_MS + hours * HOUR
    happened = list(simulate(jobs, from_ms=MORNING_MS, to_ms=end_ms))
    names = [str(number) for number in range(len(jobs))]
    load = Load(names, ["h"] * len(jobs), from_ms=MORNING_MS, to_ms=end_ms)
    for one in happened:
        load.add(one)
    return load, happened


@pytest.mark.parametrize("seed", range(5))
def test_peak_and_percentile_are_those_of_the_list_of_all_minutes(seed: int) -> None:
    draw = Random(seed)
    jobs = [
        SimulatedJob(
            planned(n, schedule={"cron": f"{draw.randrange(60)} */{draw.randrange(1, 5)} * * *"}),
            draw.randrange(1, 3 * HOUR),
        )
        for n in range(draw.randrange(1, 80))
    ]
    load, happened = load_of(jobs, 10)
    minutes = [0] * 600
    for one in happened:
        if one.what == "sent":
            minutes[(one.at_ms - MORNING_MS) // MINUTE] += 1
    assert load.peak.count == max(minutes)
    assert load.peak.at == instant_at(MORNING_MS + minutes.index(max(minutes)) * MINUTE)
    assert load.p99 == sorted(minutes)[594 - 1]
    assert load.sent == sum(minutes)
    under_way = most = 0
    for one in happened:
        under_way += (one.what == "sent") - (one.what == "ended")
        most = max(most, under_way)
    assert load.in_flight.count == most


def test_what_is_cut_off_is_under_way_no_longer() -> None:
    plan = planned(schedule={"every": "10m"}, overlap="cancel")
    load, _ = load_of([SimulatedJob(plan, HOUR)], 3)
    assert load.in_flight.count == 1
    assert [one.cancelled for one in load.overlaps()] == [17]


def test_a_job_that_is_there_later_begins_then() -> None:
    plan = planned(schedule={"every": "10m"})
    since = MORNING_MS + HOUR
    load, happened = load_of([SimulatedJob(plan, 1, since)], 2)
    assert (load.sent, min(one.at_ms for one in happened)) == (6, since)


def test_nothing_at_all_is_a_load_too() -> None:
    load, _ = load_of([], 1)
    assert (load.peak.count, load.peak.at, load.p99, load.mean) == (0, None, 0, 0.0)


def test_each_change_of_clocks_within_the_time_is_named_once() -> None:
    begin = round(datetime.fromisoformat("2026-01-01T00:00:00+00:00").timestamp() * 1000)
    for cron, zone, codes in (
        ("30 2 * * *", "Europe/Berlin", ["dst_gap", "dst_overlap"] * 3),
        ("30 1 * * *", "America/New_York", ["dst_overlap"] * 3),
        ("30 2 * * *", "America/New_York", ["dst_gap"] * 3),
        ("30 2 * * *", "UTC", []),
        ("*/5 * * * *", "Europe/Berlin", []),
    ):
        plan = planned(schedule={"cron": cron, "timezone": zone})
        found = clock_changes(plan.timetable, from_ms=begin, to_ms=begin + 3 * 365 * DAY)
        assert [one.code for one in found] == codes, (cron, zone)
        assert len({one.at for one in found}) == len(codes)
    plan = planned(schedule={"every": "1h"})
    assert clock_changes(plan.timetable, from_ms=begin, to_ms=begin + DAY) == []
