"""Schedules in words, and clock changes foretold."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from scheduler_svc.domain.clock_changes import local, note, warnings
from scheduler_svc.domain.describe import describe
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import Timetable, compile_schedule, take
from scheduler_svc.domain.schedule import Schedule

JOB = UUID(int=1)


def schedule(**keys: Any) -> Schedule:
    return msgspec.convert(keys, Schedule)


def compiled(**keys: Any) -> Timetable:
    return compile_schedule(
        schedule(**keys), job_id=JOB, created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


def at(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 9 * * MON", "At 09:00 on Monday"),
        ("0 9 * * 1-5", "At 09:00 on Monday through Friday"),
        ("0 0,12 * * *", "At 00:00 and 12:00"),
        ("15 30 9 * * *", "At 09:30:15"),
        ("* * * * *", "At every minute"),
        ("*/15 * * * *", "At every 15th minute"),
        ("* * * * * *", "At every second"),
        ("*/10 * * * * *", "At every 10th second"),
        ("@hourly", "At minute 0"),
        ("5,10 9-17 * * *", "At minute 5 and 10 past every hour from 9 through 17"),
        ("0-30/5 2 * * *", "At every 5th minute from 0 through 30 past hour 2"),
        ("0 0 1 1 *", "At 00:00 on day-of-month 1 in January"),
        ("0 0 L * *", "At 00:00 on the last day of the month"),
        ("0 0 LW * *", "At 00:00 on the last weekday of the month"),
        ("0 0 15W * *", "At 00:00 on the weekday nearest day-of-month 15"),
        ("0 0 * * FRI#L", "At 00:00 on the last Friday of the month"),
        ("0 0 * * 5L", "At 00:00 on the last Friday of the month"),
        ("0 0 * * 2#3", "At 00:00 on the third Tuesday of the month"),
        ("0 0 13 * FRI", "At 00:00 on day-of-month 13 and on Friday"),
        ("0 0 13 * +FRI", "At 00:00 on day-of-month 13 if it is on Friday"),
        ("0 0 */2 * MON", "At 00:00 on every 2nd day-of-month if it is on Monday"),
        ("0 0 0 1 1 * 2027", "At 00:00 on day-of-month 1 in January in 2027"),
        ("H 9 * * *", "At the job's own minute of 0 to 59 past hour 9"),
    ],
)
def test_an_expression_in_words(cron: str, words: str) -> None:
    assert describe(schedule(cron=cron)) == words


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"cron": "0 9 * * MON", "timezone": "Europe/Berlin"}, "At 09:00 on Monday, Europe/Berlin"),
        ({"cron": ["0 9 * * *", "0 8 * * SAT"]}, "At 09:00; At 08:00 on Saturday"),
        ({"every": "2s"}, "Every 2 seconds"),
        ({"every": "1h"}, "Every hour"),
        ({"every": "90m"}, "Every 1 hour 30 minutes"),
        ({"at": "2027-01-01T00:00:00+01:00"}, "Once at 2026-12-31 23:00 UTC"),
        ({"cron": "@daily", "max_runs": 3}, "At 00:00, at most 3 runs"),
        ({"cron": "@daily", "exclude": ["* * 25 12 *"]}, "At 00:00, with 1 exclusion"),
        ({"cron": "@daily", "end": "2027-01-01T00:00:00Z"}, "At 00:00, until 2027-01-01 00:00 UTC"),
    ],
)
def test_a_schedule_in_words(keys: dict[str, Any], words: str) -> None:
    assert describe(schedule(**keys)) == words


def test_warnings_name_the_next_gap_and_the_next_overlap_and_what_will_happen() -> None:
    found = warnings(compiled(cron="30 2 * * *", timezone="Europe/Berlin"), at("2026-01-01T00:00Z"))
    assert [(one.code, one.at) for one in found] == [
        ("dst_gap", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("dst_overlap", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ]
    assert found[0].detail == (
        "On 2026-03-29 the clock in Europe/Berlin goes forward from 02:00 to 03:00: the occurrence"
        " at 02:30 does not exist and runs right after the gap, at 03:00:00+0200"
        " (2026-03-29T01:00:00Z)."
    )
    assert found[1].detail == (
        "On 2026-10-25 the clock in Europe/Berlin goes back from 03:00 to 02:00: 02:30 exists twice"
        " and runs in the first pass, at 02:30:00+0200 (2026-10-25T00:30:00Z)."
    )


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ({"cron": "0 9 * * *"}, []),
        ({"cron": "*/15 * * * *"}, []),
        ({"cron": "*/15 2 * * *"}, ["dst_gap", "dst_overlap"]),
        ({"cron": "0 0-23 * * *"}, ["dst_gap", "dst_overlap"]),
        ({"cron": "*/15 * * * *", "dst_overlap": "first"}, ["dst_gap", "dst_overlap"]),
        ({"cron": "30 2 * * MON"}, []),
        ({"cron": ["0 9 * * *", "30 2 * * SUN"]}, ["dst_gap", "dst_overlap"]),
        ({"cron": "30 2 * * *", "exclude": ["* * * 3 *"]}, ["dst_overlap"]),
        ({"cron": "30 2 * * *", "end": "2026-06-01T00:00:00Z"}, ["dst_gap"]),
        ({"every": "1h"}, []),
        ({"cron": "30 2 * * *", "timezone": "Asia/Tokyo"}, []),
    ],
)
def test_only_what_a_change_touches_is_warned_of(keys: dict[str, Any], codes: list[str]) -> None:
    table = compiled(**{"timezone": "Europe/Berlin", **keys})
    assert [one.code for one in warnings(table, at("2026-01-01T00:00Z"))] == codes


def test_what_is_skipped_or_doubled_on_request_is_said() -> None:
    table = compiled(
        cron="30 2 * * *", timezone="Europe/Berlin", dst_gap="skip", dst_overlap="both"
    )
    gap, overlap = warnings(table, at("2026-01-01T00:00Z"))
    assert gap.detail.endswith("02:30 does not exist and is skipped.")
    assert "runs twice" in overlap.detail


def test_an_odd_local_time_has_a_note() -> None:
    table = compiled(cron="30 2 * * *", timezone="Europe/Berlin", dst_overlap="both")
    moved = take(table, at("2026-03-29T00:00Z"), 1)[0]
    assert local(table, moved) == "2026-03-29T03:00:00+02:00"
    assert note(table, moved) == "02:30 does not exist on this day; runs right after the gap"
    first, second, plain = take(table, at("2026-10-24T12:00Z"), 3)
    assert [local(table, one) for one in (first, second)] == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]
    assert note(table, first) == "first pass of a repeated local time"
    assert note(table, second) == "second pass of a repeated local time"
    assert note(table, plain) is None
