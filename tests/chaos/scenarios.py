"""The scenarios: what is broken, for how long, what must hold; as data, plans drawn from a seed.

Numbers are those of the catalogue in README.md beside this file. What always must hold (nothing
lost, early, unheard of, overwritten; each second call explained) is not repeated here.
"""

from collections.abc import Callable, Sequence
from random import Random

from chaos.checker.lateness import Bounds
from chaos.rig.plan import Load, Musts, Scenario, Step, nothing
from chaos.turns import TURNS

NAMES = ("r1", "r2", "r3")
EACH_MINUTE = {"schedule": {"cron": "* * * * *"}, "overlap": "skip"}
L1 = Load(5.0, ((60, EACH_MINUTE),))
L2 = Load(25.0, ((300, EACH_MINUTE),))
OFTEN = (
    (10, {"schedule": {"every": "2s"}, "overlap": "skip"}),
    (10, {"schedule": {"every": "3s"}, "overlap": "queue"}),
    (5, {"schedule": {"every": "5s"}, "overlap": "cancel"}),
)
SHORT_LOAD = Load(10.0, OFTEN)
SHORT_LEASE = {"lease": "4s", "heartbeat": "1s"}
QUICK = Bounds(healing=20_000.0)


def kills(every: float, back: float, seconds: float) -> Callable[[Random], Sequence[Step]]:
    """Kill one of three at random, again and again, and bring it back."""

    def plan(draw: Random) -> Sequence[Step]:
        steps = []
        at = 5.0
        while at + back < seconds - 5:
            name = draw.choice(NAMES)
            moment = at + draw.random() * (every - back - 2)
            steps += [Step(moment, "kill", name), Step(moment + back, "start", name)]
            at += every
        return steps

    return plan


def pauses(length: float, between: float, rounds: int) -> Callable[[Random], Sequence[Step]]:
    """Stop one where it is, longer than its lease, and wake it."""

    def plan(draw: Random) -> Sequence[Step]:
        steps = []
        at = 4.0
        for _ in range(rounds):
            name = draw.choice(NAMES)
            moment = at + draw.random() * 2
            steps += [Step(moment, "pause", name), Step(moment + length, "wake", name)]
            at += length + between
        return steps

    return plan


def cuts(*ways: str, length: float, reset: bool = False) -> Callable[[Random], Sequence[Step]]:
    """Cut one off from the database, in each of these ways in turn."""

    def plan(draw: Random) -> Sequence[Step]:
        steps = []
        at = 10.0
        for way in ways:
            name = draw.choice(NAMES)
            how = {"ways": ["up", "down"] if way == "both" else [way]}
            steps.append(Step(at, "cut", name, how))
            steps.append(Step(at + length, "heal", name, {"reset": reset}))
            at += length + 40
        return steps

    return plan


def all_cut(length: float) -> Callable[[Random], Sequence[Step]]:
    return lambda _: [Step(10, "cut"), Step(10 + length, "heal")]


def restarts(rounds: int, every: float) -> Callable[[Random], Sequence[Step]]:
    """Stop the server at once and start it again, now and then a little later."""

    def plan(draw: Random) -> Sequence[Step]:
        steps = []
        for number in range(rounds):
            at = 6 + every * number + draw.random()
            how = {"hard": draw.random() < 0.5}
            steps += [Step(at, "db_stop", how=how), Step(at + draw.random() * 3, "db_start")]
        return steps

    return plan


def freezes(length: float, rounds: int, between: float) -> Callable[[Random], Sequence[Step]]:
    def plan(_: Random) -> Sequence[Step]:
        steps = []
        for number in range(rounds):
            at = 8 + (length + between) * number
            steps += [Step(at, "db_freeze"), Step(at + length, "db_thaw")]
        return steps

    return plan


def skews(*seconds: float, at: float = -2.0) -> list[Step]:
    return [Step(at, "skew", name, {"seconds": s}) for name, s in zip(NAMES, seconds, strict=True)]


def clock_steps(size: float, every: float, seconds: float) -> Callable[[Random], Sequence[Step]]:
    """Step the wall clocks of replicas to and fro."""

    def plan(draw: Random) -> Sequence[Step]:
        steps = []
        at = 3.0
        while at < seconds:
            how = {"seconds": draw.choice([-size, 0, size])}
            steps.append(Step(at, "skew", draw.choice(NAMES), how))
            at += every
        return steps

    return plan


def rolling(every: float, rounds: int) -> Callable[[Random], Sequence[Step]]:
    def plan(_: Random) -> Sequence[Step]:
        return [Step(5 + every * n, "term", NAMES[n % 3]) for n in range(rounds)]

    return plan


def at_random(begin: float, end: float) -> Callable[[Random], Sequence[Step]]:
    """Something of it all each half minute: a soak."""

    def plan(draw: Random) -> Sequence[Step]:
        steps: list[Step] = []
        at = begin
        while at < end:
            name = draw.choice(NAMES)
            steps += draw.choice(
                [
                    [Step(at, "kill", name), Step(at + 5, "start", name)],
                    [Step(at, "pause", name), Step(at + 20, "wake", name)],
                    [Step(at, "cut", name, {"ways": ["up", "down"]}), Step(at + 20, "heal", name)],
                    [Step(at, "db_stop", how={"hard": True}), Step(at + 2, "db_start")],
                    [Step(at, "reset")],
                    [Step(at, "term", name)],
                ]
            )
            at += 30
        return steps

    return plan


HANDS = frozenset({"kill", "pause", "cut"})
DATABASE = frozenset({"restart", "freeze", "promotion", "reset", "cut"})
SCENARIOS = (
    Scenario("C01", "nothing is broken", 180, nothing, L2),
    Scenario(
        "C02",
        "two thousand at one instant",
        60,
        nothing,
        Load(1.0, wait_ms=50, burst=2000),
        Musts(Bounds(quiet_max=25_000)),
    ),
    Scenario(
        "C03",
        "one of three is killed every 15 s",
        240,
        kills(15, 5, 240),
        L1,
        Musts(Bounds(untouched_max=1000), frozenset({"kill"})),
    ),
    Scenario("C04", "one after another leaves politely", 120, rolling(20, 5), L2),
    Scenario(
        "C05",
        "stopped for 40 s and woken, ten times",
        480,
        pauses(40, 6, 10),
        L1,
        Musts(explained=frozenset({"pause"})),
    ),
    Scenario(
        "C06",
        "stopped inside the transaction of a claim",
        90,
        lambda _: [
            Step(8, "pause_claiming", "r1"),
            Step(30, "wake", "r1"),
            Step(45, "pause_claiming", "r2"),
            Step(70, "wake", "r2"),
        ],
        Load(10.0, ((20, {"schedule": {"every": "2s"}, "overlap": "allow"}),)),
        # The locks fall with the transaction, after 5 s; what was not in its hand goes on then.
        Musts(Bounds(untouched_max=11_000), frozenset({"pause"})),
        replicas=2,
    ),
    Scenario(
        "C07",
        "one is cut off from the database for 60 s",
        180,
        cuts("both", length=60),
        L1,
        Musts(explained=frozenset({"cut"}), truthful=True),
    ),
    Scenario(
        "C08",
        "cut in one direction, then in the other",
        240,
        cuts("up", "down", length=45, reset=True),
        L1,
        Musts(explained=frozenset({"cut"})),
    ),
    Scenario(
        "C09",
        "all are cut off from the database for 60 s",
        180,
        all_cut(60),
        L1,
        Musts(explained=frozenset({"cut"}), truthful=True),
    ),
    Scenario(
        "C10",
        "the database is stopped hard five times",
        180,
        restarts(5, 20),
        L1,
        Musts(explained=frozenset({"restart"}), truthful=True),
    ),
    Scenario(
        "C11",
        "the database is frozen for 30 s, twice",
        150,
        freezes(30, 2, 20),
        L1,
        Musts(explained=frozenset({"freeze"}), truthful=True),
    ),
    Scenario(
        "C12",
        "the primary is lost and its synchronous standby promoted",
        120,
        lambda _: [Step(30, "promote")],
        L1,
        Musts(explained=frozenset({"promotion"}), truthful=True),
        needs=frozenset({"standby"}),
    ),
    Scenario(
        "C14",
        "all connections of the database are taken for 30 s",
        120,
        lambda _: [Step(10, "hog"), Step(40, "unhog")],
        L1,
        Musts(explained=frozenset({"hog"})),
    ),
    Scenario(
        "C15",
        "the database refuses writes for 30 s",
        120,
        lambda _: [Step(10, "read_only"), Step(40, "writable")],
        L1,
        Musts(explained=frozenset({"read only"})),
        replicas=2,
    ),
    Scenario(
        "C16",
        "clocks are 120 s apart",
        180,
        lambda _: skews(120, -120, 0),
        L2,
        needs=frozenset({"faketime"}),
    ),
    Scenario(
        "C17",
        "clocks step by 300 s every 20 s",
        180,
        clock_steps(300, 20, 170),
        L1,
        needs=frozenset({"faketime"}),
    ),
    Scenario(
        "C18",
        "the clock of the database steps 90 s forward, later back",
        240,
        lambda _: [
            Step(60, "db_clock", how={"seconds": 90}),
            Step(140, "db_clock", how={"seconds": 0}),
        ],
        L1,
        needs=frozenset({"faketime"}),
        replicas=2,
    ),
    Scenario(
        "C19",
        "half of the targets hang",
        120,
        nothing,
        Load(
            12.0,
            (
                (60, {"schedule": {"every": "10s"}, "overlap": "skip"}),
                (
                    60,
                    {
                        "schedule": {"every": "10s"},
                        "overlap": "skip",
                        "path": "/hang",
                        "timeout": "5s",
                    },
                ),
            ),
            takes=8.0,
        ),
        # They share a host, whose breaker would keep back the good half too.
        settings={"breaker_failures": "0", "breaker_ratio": "1"},
    ),
    Scenario(
        "C24",
        "calls that outlast their period, and their holder is killed",
        180,
        kills(40, 6, 130),
        Load(
            2.0,
            (
                (20, {"schedule": {"every": "10s"}, "overlap": "skip", "path": "/wait/25000"}),
                (20, {"schedule": {"every": "10s"}, "overlap": "queue", "path": "/wait/15000"}),
            ),
            takes=30.0,
        ),
        # Under `queue` one is called when the one before has ended.
        Musts(Bounds(quiet_max=16_000), frozenset({"kill"})),
    ),
    Scenario(
        "C25",
        "callers edit, pause, resume and trigger, and one is killed",
        120,
        kills(40, 6, 110),
        Load(2.0),
        Musts(explained=frozenset({"kill"})),
        meddles=20,
    ),
    Scenario(
        "C29",
        "behind a pooler in transaction mode",
        120,
        nothing,
        L1,
        settings={"listen": "false", "statement_cache": "0"},
        needs=frozenset({"pgbouncer"}),
    ),
    Scenario("C30", "both processors are busy for 60 s", 150, nothing, L1, burners=2),
    Scenario(
        "C32",
        "something of it all each half minute, and five minutes of quiet",
        1800,
        at_random(100, 1440),
        L1,
        Musts(explained=HANDS | DATABASE, gives_back=True),
    ),
    Scenario(
        "callers",
        "callers edit, pause, resume and trigger all the time",
        30,
        nothing,
        Load(5.0),
        meddles=10,
    ),
    Scenario(
        "hands",
        "killed, stopped, asked to leave, cut off and reset, one after another",
        42,
        lambda _: [
            Step(3, "kill", "r1"),
            Step(6, "start", "r1"),
            Step(12, "pause", "r2"),
            Step(19, "wake", "r2"),
            Step(21, "term", "r1"),
            Step(26, "cut", "r3", {"ways": ["up", "down"]}),
            Step(33, "heal", "r3"),
            Step(36, "reset"),
        ],
        SHORT_LOAD,
        Musts(QUICK, HANDS | {"reset"}),
        settings=SHORT_LEASE,
        short=True,
    ),
    Scenario(
        "deaf",
        "stopped beyond the lease and woken, three times, and hears no notices",
        42,
        lambda _: [
            *(Step(at, "pause", "r2") for at in (3, 16, 29)),
            *(Step(at + 8, "wake", "r2") for at in (3, 16, 29)),
        ],
        SHORT_LOAD,
        Musts(QUICK, frozenset({"pause"})),
        settings=SHORT_LEASE | {"listen": "false"},
    ),
    Scenario(
        "database",
        "stopped hard and frozen beyond the lease, with callers told the truth",
        42,
        lambda _: [
            Step(4, "db_stop", how={"hard": True}),
            Step(6, "db_start"),
            Step(16, "db_freeze"),
            Step(28, "db_thaw"),
        ],
        SHORT_LOAD,
        Musts(QUICK, frozenset({"restart", "freeze"}), truthful=True),
        settings=SHORT_LEASE,
        replicas=2,
        short=True,
    ),
    Scenario(
        "clocks",
        "wall clocks two minutes apart that step, and the database's steps to and fro",
        32,
        lambda _: [
            Step(1, "skew", "r1", {"seconds": 120}),
            Step(1, "skew", "r2", {"seconds": -120}),
            Step(6, "skew", "r1", {"seconds": -300}),
            Step(8, "skew", "r2", {"seconds": 300}),
            Step(12, "db_clock", how={"seconds": 90, "over": 3}),
            Step(22, "db_clock", how={"seconds": 0, "over": 3}),
        ],
        SHORT_LOAD,
        Musts(QUICK),
        settings=SHORT_LEASE,
        replicas=2,
        needs=frozenset({"faketime"}),
        short=True,
    ),
    *TURNS,
)


def named(name: str) -> Scenario:
    """Return a scenario by its name."""
    return next(one for one in SCENARIOS if one.name == name)
