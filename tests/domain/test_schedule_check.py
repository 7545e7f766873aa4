"""Judging schedules: all faults at once, each at its pointer; good ones in normal form."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.schedule_check import check

NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)
JOB = UUID("0198c0de-0000-7000-8000-000000000001")
NINE = "0 9 * * *"


def judged(known_at: frozenset[datetime] = frozenset(), **keys: Any) -> list[tuple[str, str]]:
    schedule = msgspec.convert(keys, Schedule)
    _, faults = check(schedule, now=NOW, job_id=JOB, known_at=known_at)
    return [(fault.pointer, fault.detail) for fault in faults]


def normal(**keys: Any) -> dict[str, Any]:
    good, faults = check(msgspec.convert(keys, Schedule), now=NOW, job_id=JOB)
    assert faults == []
    built: dict[str, Any] = msgspec.to_builtins(good)
    return built


@pytest.mark.parametrize(
    ("keys", "pointer", "reason"),
    [
        ({}, "", "one of 'cron', 'every' and 'at'"),
        ({"cron": NINE, "every": "5m"}, "", "here are 'cron' and 'every'"),
        ({"cron": []}, "/cron", "empty"),
        ({"cron": [NINE] * 101}, "/cron", "at most 100"),
        ({"cron": [NINE, "0 9 * *"]}, "/cron/1", "4 fields"),
        ({"cron": "75 * * * *"}, "/cron", "minute field, value '75'"),
        ({"cron": "0 0 30 2 *"}, "/cron", "never matches"),
        ({"cron": "0 " * 200}, "/cron", "at most 255"),
        ({"every": "999ms"}, "/every", "at least '1s'"),
        ({"every": "40000d"}, "/every", "100 years"),
        ({"cron": NINE, "anchor": "2026-01-01T00:00:00Z"}, "/anchor", "belongs to 'every'"),
        ({"cron": NINE, "if_past": "run"}, "/if_past", "belongs to 'at'"),
        ({"at": []}, "/at", "empty"),
        ({"at": "2026-11-23T18:00:00Z"}, "/at", "in the past"),
        ({"at": ["2027-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]}, "/at/1", "in the past"),
        ({"at": "2200-01-02T00:00:00Z"}, "/at", "1970 to 2199"),
        ({"cron": NINE, "timezone": "europe/berlin"}, "/timezone", "'Europe/Berlin'"),
        ({"cron": NINE, "timezone": "Mars/Phobos"}, "/timezone", "IANA"),
        (
            {"cron": NINE, "start": "2027-01-01T00:00:00Z", "end": "2027-01-01T01:00:00+01:00"},
            "/end",
            "later than 'start'",
        ),
        ({"cron": NINE, "start": "0001-01-01T00:00:00+14:00"}, "/start", "years 1 to 9999"),
        ({"cron": NINE, "exclude": ["60 * * * *"]}, "/exclude/0", "minute field"),
        (
            {"cron": NINE, "exclude": [NINE.replace("9", "8"), {
                "from": "2027-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}]},
            "/exclude/1/to",
            "later than 'from'",
        ),
        ({"cron": NINE, "exclude": ["* * * * *"] * 101}, "/exclude", "at most 100"),
        ({"cron": NINE, "exclude": ["* * * * *"]}, "/exclude", "no occurrence"),
        (
            {"cron": "0 0 1 1 *", "start": "2027-02-01T00:00:00Z", "end": "2027-03-01T00:00:00Z"},
            "",
            "nothing is left",
        ),
        ({"every": "1m", "spread": "1m"}, "/spread", "60s later"),
        ({"cron": "0 9,10 * * *", "spread": "2h"}, "/spread", "3600s later"),
    ],
)  # fmt: skip
def test_a_fault_is_found_at_its_place(keys: dict[str, Any], pointer: str, reason: str) -> None:
    found = judged(**keys)
    assert [each for each, _ in found] == [pointer]
    assert reason in found[0][1]


def test_all_faults_are_told_at_once() -> None:
    found = judged(cron="60 * * * *", every="1ms", timezone="Nowhere", spread="40000d")
    assert {pointer for pointer, _ in found} == {"", "/cron", "/every", "/timezone", "/spread"}


def test_durations_and_instants_come_back_in_normal_form() -> None:
    good = normal(
        every="90m",
        anchor="2026-01-01T00:00:00.123456+01:00",
        spread="0ms",
        start="2026-01-01T02:00:00+02:00",
        exclude=[{"from": "2026-12-24T00:00:00+01:00", "to": "2026-12-27T00:00:00+01:00"}],
    )
    assert good["every"] == "1h30m"
    assert good["anchor"] == "2025-12-31T23:00:00.123000Z"
    assert good["spread"] == "0s"
    assert good["start"] == "2026-01-01T00:00:00Z"
    assert good["exclude"] == [{"from": "2026-12-23T23:00:00Z", "to": "2026-12-26T23:00:00Z"}]
    assert "cron" not in good
    assert "if_past" not in good


def test_if_past_is_shown_beside_at() -> None:
    assert normal(at="2027-01-01T00:00:00Z")["if_past"] == "reject"
    assert normal(at="2020-01-01T00:00:00Z", if_past="run")["if_past"] == "run"


def test_the_normal_form_is_its_own_normal_form() -> None:
    once = normal(cron=["0 9 * * MON", "@daily"], timezone="Asia/Tokyo", spread="90s")
    assert normal(**once) == once


def test_an_instant_that_is_stored_already_is_not_judged_again() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert judged(frozenset({past}), at="2020-01-01T00:00:00Z") == []
    assert judged(frozenset({past}), at=["2020-01-01T01:00:00+01:00", "2027-01-01T00:00:00Z"]) == []
    assert judged(frozenset({past}), at="2020-01-02T00:00:00Z") != []


def test_a_rule_whose_time_is_over_is_no_fault() -> None:
    """Else an unchanged PUT of a completed job would be refused."""
    assert judged(cron="0 0 0 1 1 * 2020") == []
    assert judged(cron=NINE, end="2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize("value", ["2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "tomorrow"])
def test_an_instant_needs_an_offset_and_a_real_date(value: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"at": value}, Schedule)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="crom"):
        msgspec.convert({"crom": NINE}, Schedule)
