"""APScheduler itself beside its imported jobs: its triggers are asked for two years of instants."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from domain.brute import rules
from imports.comparing import by_name, compare, options, ours, said
from imports.wall import FROM, TO
from scheduler_svc.cli.imports.command import imported
from scheduler_svc.domain.imports.draft import Draft

PAGE = (Path(__file__).parents[2] / "docs" / "importing.md").read_text()
BERLIN, NEW_YORK, TOKYO = "Europe/Berlin", "America/New_York", "Asia/Tokyo"


def cron(zone: str = BERLIN, **fields: Any) -> CronTrigger:
    return CronTrigger(timezone=rules(zone), **fields)


def interval(**parts: Any) -> IntervalTrigger:
    return IntervalTrigger(timezone=rules(BERLIN), **parts)


START = datetime(2026, 11, 2, 7, 30, tzinfo=rules(BERLIN))
TRIGGERS: dict[str, Any] = {
    "workdays-at-nine": cron(day_of_week="mon-fri", hour=9),
    "zero-is-monday": cron(day_of_week="0", hour=6, minute=30),
    "six-is-sunday": cron(day_of_week=6, hour=6),
    "odd-weekdays": cron(day_of_week="*/2", hour=6),
    "both-days": cron(day=13, day_of_week="fri", hour=9),
    "day-list-and-weekdays": cron(day="1-7", day_of_week="mon,wed", hour=9, minute="0,30"),
    "second-friday": cron(day="2nd fri", hour=17),
    "last-and-first": cron(day="last sun, 1st mon", hour=4),
    "last-day": cron(day="last", hour=23, minute=59),
    "last-day-if-friday": cron(day="last", day_of_week="fri", hour=12),
    "position-or-date": cron(day="3rd wed,15", hour=12),
    "every-quarter-of-an-hour": cron(hour="8-17", minute="*/15"),
    "every-hour": cron(minute=0),
    "seconds": cron(day="1", hour=5, minute=0, second="*/20"),
    "only-seconds": cron(month=6, day=1, hour=0, minute=0, second=30),
    "years": cron(year="2027-2028", month="1,7", day=1),
    "even-years": cron(year="*/2", month="jan-mar", day=1),
    "month-names": cron(month="jan,apr-jun,dec", day=15, hour=8),
    "leap-day": cron(month=2, day=29, hour=12),
    "in-the-gap": cron(hour=2, minute=30),
    "at-the-gap": cron(hour=2),
    "several-in-the-gap": cron(hour=2, minute="0,20,40"),
    "before-and-in-the-gap": cron(hour="1-3", minute=30),
    "in-and-after-the-gap": cron(hour="2-3", minute="15,45"),
    "sunday-in-the-gap": cron(day_of_week="sun", hour=2, minute=15),
    "in-the-overlap": cron(NEW_YORK, hour=1, minute="0,30"),
    "half-an-hour": cron("Australia/Lord_Howe", hour=2, minute=15),
    "at-no-midnight": cron("Africa/Cairo", hour=0, minute=30),
    "at-no-midnight-on-fridays": cron("Africa/Cairo", day_of_week="fri", hour=0),
    "far-zone": cron(TOKYO, hour="*/6"),
    "bounded": cron(
        hour=12,
        start_date=datetime(2027, 1, 1, tzinfo=rules(BERLIN)),
        end_date=datetime(2027, 3, 1, 12, tzinfo=rules(BERLIN)),
    ),
    "every-ninety-minutes": interval(minutes=90, start_date=START),
    "every-day": interval(days=1, start_date=START),
    "every-week-until": interval(weeks=1, start_date=START, end_date=START + timedelta(days=70)),
    "once": DateTrigger(datetime(2027, 5, 1, 9, tzinfo=rules(BERLIN)), rules(BERLIN)),
}


def work(*_given: Any, **_named: Any) -> None:
    """What the jobs call."""


@contextmanager
def scheduler() -> Iterator[BackgroundScheduler]:
    made = BackgroundScheduler(timezone=rules(BERLIN))
    made.start(paused=True)
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Draft]:
    """What the page's own lines write of a scheduler, imported."""
    (code,) = re.findall(r"```python apscheduler\n(.*?)```", PAGE, re.DOTALL)
    space: dict[str, Any] = {}
    exec(code, space)
    with scheduler() as made:
        for name, trigger in TRIGGERS.items():
            made.add_job(work, trigger, id=name, args=["a", 1], kwargs={"b": "{{ c }}"})
        made.add_job(work, cron(hour=1), id="loose", misfire_grace_time=None, coalesce=True)
        late = {"misfire_grace_time": 3600, "coalesce": False}
        made.add_job(work, cron(hour=1), id="many", max_instances=3, **late)
        made.add_job(work, cron(hour=1, jitter=120), id="jittered")
        made.add_job(work, cron(week=3, hour=1), id="by-week")
        made.add_job(work, cron(hour=1), id="paused", next_run_time=None)
        text = space["dumped"](made)
    path = tmp_path_factory.mktemp("dump") / "jobs.json"
    path.write_text(text)
    return dict(by_name(imported("apscheduler", [str(path)], options())))


def fires(trigger: Any) -> list[int]:
    """Ask the trigger, one instant after the other, as its scheduler does."""
    found: set[int] = set()
    at = trigger.get_next_fire_time(None, FROM.astimezone(rules(BERLIN)))
    while at is not None and at.timestamp() < TO.timestamp():
        found.add(int(at.timestamp()))
        at = trigger.get_next_fire_time(at, at)
    return sorted(found)


@pytest.mark.parametrize("name", list(TRIGGERS))
def test_a_job_goes_on_as_its_trigger_would_have_it(name: str, drafts: dict[str, Draft]) -> None:
    compare(drafts[name], fires(TRIGGERS[name]))


@pytest.mark.parametrize("name", ["in-the-gap", "sunday-in-the-gap"])
def test_a_time_that_moves_in_the_gap_is_told_of(name: str, drafts: dict[str, Draft]) -> None:
    assert ours(drafts[name]) != fires(TRIGGERS[name])
    assert said(drafts[name], "dst_gap") == {"differs"}


def test_misfires_instances_jitter_and_pauses_are_kept(drafts: dict[str, Draft]) -> None:
    specs = {name: draft.spec for name, draft in drafts.items()}
    assert specs["in-the-gap"]["misfire"] == {"policy": "skip", "grace": "1s"}
    assert specs["loose"]["misfire"] == {"policy": "once", "max_lateness": "36500d"}
    assert specs["many"]["misfire"] == {"policy": "all", "max_lateness": "1h"}
    assert (specs["in-the-gap"]["overlap"], specs["many"]["overlap"]) == ("skip", "allow")
    assert said(drafts["many"], "overlap") == {"decision"}
    assert specs["jittered"]["schedule"]["spread"] == "2m"
    assert said(drafts["by-week"], "syntax") == {"not_importable"}
    assert said(drafts["paused"], "suspended") == {"decision"}
    assert not drafts["paused"].written
    body = specs["in-the-gap"]["target"]["body"]
    assert body["func"].endswith(":work")
    assert body["kwargs"] == {"b": "{{'{{'}} c }}"}


@pytest.mark.parametrize(
    ("trigger", "schedule"),
    [
        ("cron[day_of_week='mon-fri', hour='9']", {"cron": "0 9 * * mon-fri"}),
        ("cron[hour='*/2']", {"cron": "0 */2 * * *"}),
        ("<CronTrigger (minute='5', timezone='UTC')>", {"cron": "5 * * * *"}),
        ("interval[1 day, 2:00:00]", {"every": "1d2h"}),
        ("interval[0:00:30]", {"every": "30s"}),
        ("date[2027-05-01 09:00:00 UTC]", {"at": "2027-05-01T09:00:00Z"}),
        ({"type": "interval", "hours": 2, "minutes": 5}, {"every": "2h5m"}),
        ({"type": "cron", "day_of_week": "0", "hour": 3}, {"cron": "0 3 * * 1"}),
    ],
)
def test_triggers_are_read_from_their_texts_too(
    trigger: Any, schedule: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "dump"
    path.write_text(repr([{"id": "a", "trigger": trigger, "coalesce": True}]))
    (draft,) = imported("apscheduler", [str(path)], options(timezone="UTC"))
    assert {k: v for k, v in draft.schedule.items() if k[:3] != "dst"} == schedule
    assert draft.written, json.dumps([str(one) for one in draft.findings])
