"""Scenarios in which the world turns: primaries that change or come back, hours and nights that
pass, builds and zone data beside one another, a crowd beside a few; as data, like the others.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from chaos.checker.lateness import Bounds
from chaos.rig.plan import Load, Musts, Scenario, Step, nothing
from chaos.rig.zones import MOVED_ZONE

EACH_MINUTE = {"schedule": {"cron": "* * * * *"}, "overlap": "skip"}
L1 = Load(5.0, ((60, EACH_MINUTE),))
HOUR = 3600.0
DAYS = 24 * HOUR
BEFORE_NIGHT = timedelta(seconds=150)
"""What the rig may take to come up, and two minutes of jobs before the offset changes."""


def missed(policy: str, cron: str, **more: Any) -> Mapping[str, Any]:
    """A job that is missed while nobody is there."""
    return {
        "schedule": {"cron": cron},
        "overlap": "allow",
        "misfire": {"policy": policy} | more,
    }


def in_zone(zone: str, *crons: str) -> Sequence[tuple[int, Mapping[str, Any]]]:
    return tuple((2, {"schedule": {"cron": cron, "timezone": zone}}) for cron in crons)


def night(name: str, zone: str, instant: str, says: str, *crons: str) -> Scenario:
    """A rig under the date of a night, from before a zone's offset changes until after it."""
    begin = datetime.fromisoformat(instant).astimezone(UTC) - BEFORE_NIGHT
    return Scenario(
        name,
        f"{zone} {says}",
        240,
        nothing,
        Load(1.0, in_zone(zone, "* * * * *", "*/5 * * * *", *crons)),
        replicas=2,
        needs=frozenset({"faketime"}),
        dated=begin.isoformat(),
    )


def hours(*passed: float, at: Sequence[float]) -> Callable[[Random], Sequence[Step]]:
    """Twice or more: everybody down, the clock that much further than at first, up again."""

    def plan(_: Random) -> Sequence[Step]:
        return [
            Step(second, "hours_pass", how={"seconds": seconds, "over": 1.0})
            for second, seconds in zip(at, passed, strict=True)
        ]

    return plan


NIGHTS = (
    night(
        "C23",
        "America/New_York",
        "2026-11-01T06:00:00Z",
        "goes an hour back",
        "58,59,0,1,2 1 * * *",
        "0,1,30 1 * * *",
        "59 1,2 * * *",
        "* 1 * * *",
    ),
    night(
        "C23-forward",
        "America/New_York",
        "2027-03-14T07:00:00Z",
        "goes an hour forward",
        "30 2 * * *",
        "0,15 2 * * *",
        "59 1 * * *",
        "* 2 * * *",
        "0,1 3 * * *",
    ),
    night(
        "C23-half",
        "Australia/Lord_Howe",
        "2027-04-03T15:00:00Z",
        "goes half an hour back",
        "58,59 1 * * *",
        "30,31,32 1 * * *",
        "0 2 * * *",
        "* 1 * * *",
    ),
    night(
        "C23-midnight",
        "Asia/Beirut",
        "2027-03-27T22:00:00Z",
        "has no midnight",
        "0 0 * * *",
        "30 0 * * *",
        "0,1 1 * * *",
        "* 0 * * *",
        "0 0 28 3 *",
    ),
)
TURNS = (
    Scenario(
        "C12b",
        "the primary is lost, and its standby had followed until 5 s before",
        100,
        lambda _: [Step(25, "fall_behind"), Step(30, "promote")],
        L1,
        Musts(explained=frozenset({"promotion", "tail"}), truthful=True),
        needs=frozenset({"follower"}),
    ),
    Scenario(
        "C13",
        "a former primary comes back, fenced, at the address that is asked first",
        90,
        lambda _: [
            Step(15, "promote", how={"retarget": False}),
            Step(35, "come_back", "former", {"seconds": 20.0, "fenced": True}),
            Step(40, "disconnect"),
            Step(48, "disconnect"),
        ],
        L1,
        Musts(explained=frozenset({"promotion", "reset"}), shunned=True),
        needs=frozenset({"standby"}),
        query="target_session_attrs=read-write",
    ),
    Scenario(
        "C13-open",
        "a former primary comes back as one, and takes writes",
        90,
        lambda _: [
            Step(15, "promote", how={"retarget": False}),
            Step(35, "come_back", "former", {"seconds": 20.0, "fenced": False}),
            Step(40, "disconnect"),
        ],
        L1,
        Musts(explained=frozenset({"promotion", "reset", "former"}), shunned=True),
        needs=frozenset({"standby"}),
        query="target_session_attrs=read-write",
    ),
    Scenario(
        "C13-dark",
        "the primary says nothing any more, at the address that is asked first",
        90,
        lambda _: [Step(25, "promote", how={"retarget": False, "dark": True})],
        L1,
        Musts(explained=frozenset({"promotion"}), truthful=True),
        needs=frozenset({"standby"}),
        query="target_session_attrs=read-write",
    ),
    Scenario(
        "C22",
        "everybody is down for six hours, and for 45 days",
        150,
        hours(6 * HOUR, 6 * HOUR + 45 * DAYS, at=(8.0, 50.0)),
        Load(
            1.0,
            (
                (20, missed("skip", "* * * * *")),
                (20, missed("once", "* * * * *")),
                (5, missed("once", "*/7 * * * *")),
                (5, missed("once", "*/10 * * * *", max_lateness="1m")),
                (8, missed("all", "*/10 * * * *")),
                (4, missed("all", "* * * * *", max_lateness="2h")),
                (1, missed("all", "* * * * *")),
            ),
        ),
        Musts(Bounds(healing=20_000.0)),
        settings={"retention": "400d", "hold_after": "0s"},
        needs=frozenset({"faketime"}),
    ),
    *NIGHTS,
    Scenario(
        "C26",
        "five thousand of one namespace at one instant, and ten of another",
        90,
        nothing,
        Load(1.0, crowds=(("crowd", 5000), ("few", 10))),
        Musts(Bounds(quiet_max=60_000), fair=("few", "crowd", 1000)),
    ),
    Scenario(
        "C28",
        "the build before this one beside it, and the schema changed under both",
        120,
        lambda _: [
            Step(10, "upgrade"),
            Step(30, "renew", "r1"),
            Step(50, "renew", "r2"),
            Step(70, "renew", "r3"),
        ],
        L1,
        Musts(truthful=True),
        needs=frozenset({"before"}),
    ),
    Scenario(
        "C31",
        "one of three comes with other zone data, first such that would move jobs",
        100,
        lambda _: [
            Step(10, "rezone", "r3", {"moved": True}),
            Step(35, "rezone", "r3", {"moved": False}),
            Step(60, "ask_zones"),
        ],
        Load(
            5.0,
            (
                (40, EACH_MINUTE),
                (10, {"schedule": {"cron": "0-29 * * * *", "timezone": MOVED_ZONE}}),
                (10, {"schedule": {"cron": "30-59 * * * *", "timezone": MOVED_ZONE}}),
            ),
        ),
        Musts(told_apart=True),
        settings={"drift_max": "5"},
    ),
)
