"""Expressions drawn at random, in each system's own writing, beside that system's rules."""

from typing import Any

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.brute import rules
from imports.comparing import compare, options
from imports.reading import crontab, eventbridge, robfig
from imports.wall import FROM, TO, as_cron, elapsed, first_pass
from scheduler_svc.domain.imports import apscheduler, dkron, kubernetes
from scheduler_svc.domain.imports import crontab as cron_tables
from scheduler_svc.domain.imports import eventbridge as aws
from scheduler_svc.domain.imports.draft import Draft

pytestmark = pytest.mark.timeout(120)
SEEN = settings(
    max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]
)
MINUTES = st.sampled_from(["0", "30", "15,45", "0-10/5", "*/30", "59"])
HOURS = st.sampled_from(["0", "1", "2", "1-3", "2,23", "*/6", "0,2", "1-3/2"])
WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def field(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    """Draw a field: a value, a span, a list, a step, `*`, or one of those given."""
    value = st.integers(low, high)
    span = st.tuples(value, value, st.sampled_from(["", "/2", "/3"])).map(
        lambda three: f"{min(three[:2])}-{max(three[:2])}{three[2]}"
    )
    item = st.one_of(value.map(str), span)
    listed = st.lists(item, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.sampled_from(["*/2", "*/3", "*/1", *more]), listed)


CLOCK = (MINUTES, HOURS)
ROBFIG = st.tuples(*CLOCK, field(1, 31, "?", "1,*", "3/9"), field(1, 12), field(0, 6, "?", "1/3"))


def first(drafts: list[Draft]) -> Draft | None:
    """The one draft, None where it can not occur at all."""
    (draft,) = drafts
    never = [one for one in draft.findings if "never occurs" in one.detail]
    if never:
        return None
    assert draft.written, draft.findings
    return draft


@SEEN
@given(st.tuples(*CLOCK, field(1, 31), field(1, 12), field(0, 7)), ZONES)
def test_cron(fields: tuple[str, ...], zone: str) -> None:
    text = " ".join(fields)
    draft = first(cron_tables.read(f"{text} run", "t", options(timezone=zone), set()))
    rule, wild = crontab(text)
    theirs = elapsed(rule, zone) if wild else as_cron(rule, zone)
    if draft is None:
        assert theirs == []
    else:
        compare(draft, theirs)


@SEEN
@given(ROBFIG, ZONES, st.sampled_from(["", "0 ", "*/20 "]))
def test_robfig(fields: tuple[str, ...], zone: str, second: str) -> None:
    text = " ".join(fields)
    if second:
        shell = {"name": "a", "schedule": second + text, "timezone": zone, "executor": "shell"}
        draft = first(dkron.read(shell, "t", options(), set()))
        rule = robfig(second + text, seconds=True)
    else:
        spec: dict[str, Any] = {"schedule": text, "timeZone": zone}
        job: dict[str, Any] = {"kind": "CronJob", "metadata": {"name": "a"}, "spec": spec}
        draft = first(kubernetes.read(job, "t", options(), set()))
        rule = robfig(text)
    if draft is None:
        assert elapsed(rule, zone) == []
    else:
        compare(draft, elapsed(rule, zone))


QUARTZ_DATE = field(1, 31, "L", "LW", "1W", "15W", "31W", "1/7")
QUARTZ_WEEK = field(1, 7, "L", "6L", "FRIL", "2#3", "SUN#1", "MON-WED", "2/2")


@SEEN
@given(
    st.tuples(*CLOCK, field(1, 12), st.sampled_from(["*", "2027", "2026/2", "2028-2030"])),
    st.one_of(QUARTZ_DATE.map(lambda d: (d, "?")), QUARTZ_WEEK.map(lambda d: ("?", d))),
    ZONES,
)
def test_eventbridge(fields: tuple[str, ...], days: tuple[str, str], zone: str) -> None:
    minute, hour, month, year = fields
    text = f"{minute} {hour} {days[0]} {month} {days[1]} {year}"
    one = {"Name": "a", "ScheduleExpression": f"cron({text})", "ScheduleExpressionTimezone": zone}
    draft = first(aws.read(one, "t", options(), set()))
    theirs = first_pass(eventbridge(text), zone)
    if draft is None:
        assert theirs == []
    else:
        compare(draft, theirs)


APS = st.fixed_dictionaries(
    {"minute": MINUTES, "hour": HOURS},
    optional={
        "day": st.sampled_from(["1", "*/2", "last", "2nd fri", "28-31", "1-15/7", "27,28,29,30"]),
        "month": field(1, 12, "jan-mar").filter(lambda text: "*/" not in text),
        "day_of_week": st.sampled_from(["mon-fri", "sun", "6", "0-2", "5,6", "sat,sun", "*/2"]),
    },
)


@SEEN
@given(APS, ZONES)
def test_apscheduler(fields: dict[str, Any], zone: str) -> None:
    try:
        trigger = CronTrigger(timezone=rules(zone), **fields)
    except ValueError:
        return  # it refuses steps beyond the width of a range
    job = {
        "id": "a",
        "trigger": {
            "type": "cron",
            "fields": {one.name: str(one) for one in trigger.fields},
            "timezone": zone,
        },
    }
    (draft,) = apscheduler.read(job, "t", options(), set())
    refused = {one.code for one in draft.findings if one.severity == "not_importable"}
    if refused:
        assert refused <= {"day_rule", "syntax"}, draft.findings
        return
    compare(draft, fires(trigger, zone))


def fires(trigger: CronTrigger, zone: str) -> list[int]:
    """Ask the trigger itself, giving up where it finds nothing for years."""
    found: set[int] = set()
    at = trigger.get_next_fire_time(None, FROM.astimezone(rules(zone)))
    while at is not None and at.timestamp() < TO.timestamp():
        found.add(int(at.timestamp()))
        at = trigger.get_next_fire_time(at, at)
    return sorted(found)
