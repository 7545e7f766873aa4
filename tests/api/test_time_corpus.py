"""The nights of the domain's table through the API: preview, create and explain say the same.

Each night and expression under `auto` and under one explicit pair of policies, against the scan of
the wall clock that shares no code with the product: 812 previews, and some of them as jobs.
"""

from datetime import datetime
from typing import Any

import httpx2
import pytest

from domain.brute import Brute, Policy
from domain.test_dst_table import EVERY_POLICY, EXPRESSIONS, NIGHTS, window
from factories import Clock, create
from scheduler_svc.api.wire import stamp, stamp_ms
from scheduler_svc.domain.ids import epoch_ms

CASES = [
    (zone, day, cron, policy)
    for night, (zone, day) in enumerate(NIGHTS)
    for number, cron in enumerate(EXPRESSIONS)
    for policy in (EVERY_POLICY[0], EVERY_POLICY[1 + (night + number) % 11])
]


def schedule(zone: str, cron: str, policy: Policy) -> dict[str, Any]:
    return {
        "cron": cron,
        "timezone": zone,
        "dst_gap": policy.gap,
        "dst_overlap": policy.overlap,
    }


def expected(zone: str, day: str, cron: str, policy: Policy) -> list[str]:
    low, high = window(day)
    return [stamp(at) for at in Brute(cron).instants(zone, low, high, policy)]


def before(day: str) -> int:
    """Return the last millisecond before the window of a night."""
    return epoch_ms(window(day)[0]) - 1


@pytest.mark.parametrize(("zone", "day"), NIGHTS, ids=lambda part: part)
async def test_a_preview_of_a_night_is_what_the_wall_clock_gives(
    http: httpx2.AsyncClient, zone: str, day: str
) -> None:
    for case_zone, case_day, cron, policy in CASES:
        if (case_zone, case_day) != (zone, day):
            continue
        named = expected(zone, day, cron, policy)
        sent = {
            "schedule": schedule(zone, cron, policy),
            "from": stamp_ms(before(day)),
            "count": len(named) + 1,
        }
        answer = await http.post("/schedules/preview", json=sent)
        assert answer.status_code == 200, answer.text
        end = stamp(window(day)[1])
        shown = answer.json()["occurrences"]
        instants = [one["scheduled_for"] for one in shown if one["scheduled_for"] < end]
        assert instants == named, (cron, policy)
        for one in shown:
            local = datetime.fromisoformat(one["local"])
            assert stamp(local) == one["scheduled_for"]


@pytest.mark.parametrize("case", CASES[::18], ids=lambda case: " ".join(map(str, case[:3])))
async def test_a_job_of_a_night_comes_and_is_explained_as_the_wall_clock_says(
    http: httpx2.AsyncClient, clock: Clock, case: tuple[str, str, str, Policy]
) -> None:
    zone, day, cron, policy = case
    named = expected(zone, day, cron, policy)
    clock.ms = before(day)
    made = await create(http, name="x", schedule=schedule(zone, cron, policy))
    assert made["upcoming"][: len(named)] == named[:5]
    for at in named[:20]:
        told = (await http.get("/jobs/x/explain", params={"at": at})).json()
        assert (told["verdict"], told["reason"]) == ("fires", "cron")
    silent = [minute for minute in half_hours(day) if minute not in named]
    for at in silent[::10]:
        told = (await http.get("/jobs/x/explain", params={"at": at})).json()
        assert told["verdict"] == "never", at


def half_hours(day: str) -> list[str]:
    low, high = (epoch_ms(edge) for edge in window(day))
    return [stamp_ms(at) for at in range(low, high, 1_800_000)]
