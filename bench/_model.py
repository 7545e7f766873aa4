"""A model of replicas and a database: closed formulas, and a simulation of discrete events.

Standard library only, and nothing of the service. Costs are fitted on one replica (`fitted`); what
other numbers of replicas and jobs come to is predicted from them.
"""

import heapq
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

SLOTS, BATCH, LOOKAHEAD, SEND, GATHER = 2000, 500, 1.0, 50, 0.005
LOOK_AGAIN = 0.001
US = 1e-6
CLAIM_SHARE, SEND_SHARE, SETTLE_SHARE = 0.42, 0.45, 0.13
"""How a replica's share of a fire divides (`bench/fire.py`: 56, 61 and 17 us)."""
START_SHARE = 0.1
"""Of sending, what comes before the call counts as begun."""
CLAIM_OF_SERVER = 0.85
"""And the database's: claim against settle."""
RECEIVER_US = 15.0
"""What the receiver of the benchmark takes on the same cores."""
Point = Mapping[str, float]
BUSY = 0.7
"""How full a processor may be before waiting counts."""


@dataclass(frozen=True)
class Costs:
    """Processor time in microseconds, of a fire and of a commit beside it; commits a second."""

    ours: float
    server: float
    ours_commit: float
    server_commit: float
    looks: float
    """Of a replica: looks, heartbeats and upkeep, with little to do."""
    ends: float
    """The most writes of ends, which gather."""
    full: float
    """Commits a fire where batches are full."""


def fitted(burst: Point, slow: Point, quick: Point) -> Costs:
    """Fit the costs from three points of one replica: a burst, a slow and a quicker rate."""
    commits = slow["transactions"] - burst["transactions"]
    ours = max(0.0, (slow["ours_us"] - burst["ours_us"]) / commits)
    server = max(0.0, (slow["server_us"] - burst["server_us"]) / commits)
    looks = (slow["transactions"] - 1) * slow["size"]
    return Costs(
        ours=burst["ours_us"] - burst["transactions"] * ours,
        server=burst["server_us"] - burst["transactions"] * server,
        ours_commit=ours,
        server_commit=server,
        looks=looks,
        ends=quick["transactions"] * quick["size"] - looks,
        full=burst["transactions"],
    )


def commits_a_fire(costs: Costs, rate: float, replicas: int) -> float:
    """Return commits a fire at an even rate: ends, gathered, and what each replica does anyway.

    What is claimed together ends together, so more replicas gather no less.
    """
    return (min(rate, costs.ends) + costs.looks * replicas) / rate


def per_fire(costs: Costs, commits: float) -> tuple[float, float]:
    """Return what a fire costs a replica and the database, commits included."""
    return (
        costs.ours + commits * costs.ours_commit,
        costs.server + commits * costs.server_commit,
    )


def capacity(costs: Costs, *, replicas: int, cores: int, database_cores: int) -> tuple[float, str]:
    """Return the fires a second that fit, in full batches, and what bounds them."""
    ours, server = per_fire(costs, costs.full)
    bounds = {
        "the replicas (a core each)": replicas * BUSY * 1e6 / ours,
        "the cores of the replicas": cores * BUSY * 1e6 / ours,
        "the database": database_cores * BUSY * 1e6 / server,
    }
    name = min(bounds, key=lambda one: bounds[one])
    return bounds[name], name


Step = tuple[str, float]
Process = Generator[Step, None, None]


class Machine:
    """Cores that are shared evenly by whoever computes, one core each at most."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.work: dict[int, float] = {}
        self.at = 0.0

    def speed(self) -> float:
        return min(1.0, self.cores / len(self.work)) if self.work else 0.0

    def advance(self, now: float) -> None:
        done = (now - self.at) * self.speed()
        self.work = {who: left - done for who, left in self.work.items()}
        self.at = now

    def next_end(self) -> tuple[float, int] | None:
        if not self.work:
            return None
        who = min(self.work, key=lambda one: self.work[one])
        return self.at + max(0.0, self.work[who]) / self.speed(), who


@dataclass
class World:
    """The clock, the machines, and who waits for what."""

    machines: dict[str, Machine]
    now: float = 0.0
    sleeping: list[tuple[float, int]] = field(default_factory=list)
    running: dict[int, Process] = field(default_factory=dict)
    taken: dict[float, list[int]] = field(default_factory=dict)
    """Threads in use, and who waits for each."""
    numbers: Iterator[int] = field(default_factory=count)

    def start(self, process: Process) -> None:
        number = next(self.numbers)
        self.running[number] = process
        self._go_on(number)

    def _go_on(self, number: int) -> None:
        try:
            what, amount = next(self.running[number])
        except StopIteration:
            del self.running[number]
            return
        if what == "take":
            if amount in self.taken:
                self.taken[amount].append(number)
            else:
                self.taken[amount] = []
                self._go_on(number)
        elif what == "give":
            if self.taken[amount]:
                self._go_on(self.taken[amount].pop(0))
            else:
                del self.taken[amount]
            self._go_on(number)
        elif what == "sleep":
            heapq.heappush(self.sleeping, (self.now + amount, number))
        else:
            self.machines[what].advance(self.now)
            self.machines[what].work[number] = amount

    def run(self) -> None:
        while self.running:
            soonest: tuple[float, int, Machine | None] = (float("inf"), -1, None)
            for machine in set(self.machines.values()):
                if (end := machine.next_end()) is not None and end[0] < soonest[0]:
                    soonest = (end[0], end[1], machine)
            if self.sleeping and self.sleeping[0][0] <= soonest[0]:
                soonest = (*heapq.heappop(self.sleeping), None)
            if soonest[1] < 0:
                return
            self.now = max(self.now, soonest[0])
            for machine in set(self.machines.values()):
                machine.advance(self.now)
            if soonest[2] is not None:
                del soonest[2].work[soonest[1]]
            self._go_on(soonest[1])


@dataclass
class Load:
    """Jobs that are due at one instant, and what became of them."""

    left: int
    late: list[float] = field(default_factory=list)
    ended: int = 0
    last: float = 0.0


def simulate_burst(
    costs: Costs, *, jobs: int, replicas: int, cores: int, database_cores: int = 0
) -> tuple[float, float, float]:
    """Return calls a second, p50 and p99 of the lateness in milliseconds, of a burst.

    Without cores of its own the database shares those of the replicas, as in the benchmark.
    """
    shared = Machine(cores)
    server = Machine(database_cores) if database_cores else shared
    world, load = World({"app": shared, "db": server}), Load(jobs)
    for number in range(replicas):
        one = Replica(number)
        world.start(_claims(load, costs, one))
        world.start(_sends(world, load, costs, one))
    world.run()
    late = sorted(load.late)
    at = [1000 * late[min(len(late) - 1, int(share * len(late)))] for share in (0.5, 0.99)]
    return jobs / (load.last - LOOKAHEAD), at[0], at[1]


@dataclass
class Replica:
    """One process: its thread, what it holds, and whether all that it claims is claimed."""

    number: int
    held: int = 0
    open: int = 0
    """Held or being sent: what has a slot."""
    claims: bool = True


def _claims(load: Load, costs: Costs, one: Replica) -> Process:
    """Claim in batches, up to the slots; the database works while the thread does other things."""
    while load.left:
        if one.open >= SLOTS:
            yield "sleep", LOOK_AGAIN
            continue
        batch = min(BATCH, load.left, SLOTS - one.open)
        load.left -= batch
        one.open += batch
        yield "db", (batch * costs.server * CLAIM_OF_SERVER + costs.server_commit) * US
        yield "take", one.number
        yield "app", (batch * costs.ours * CLAIM_SHARE + costs.ours_commit) * US
        yield "give", one.number
        one.held += batch
    one.claims = False


def _sends(world: World, load: Load, costs: Costs, one: Replica) -> Process:
    """Start what is held at its instant, read the answers, and settle what has ended."""
    yield "sleep", LOOKAHEAD
    begun = 0
    while one.claims or one.open:
        if not (one.held or begun):
            yield "sleep", LOOK_AGAIN
            continue
        yield "take", one.number
        while one.held:
            batch, one.held = min(one.held, SEND), max(0, one.held - SEND)
            yield "app", batch * costs.ours * START_SHARE * US
            load.late += [world.now - LOOKAHEAD] * batch
            begun += batch
        batch, begun = min(begun, BATCH), max(0, begun - BATCH)
        world.start(_once("app", batch * RECEIVER_US * US))
        yield "app", batch * costs.ours * (SEND_SHARE - START_SHARE + SETTLE_SHARE) * US
        yield "give", one.number
        one.open -= batch
        world.start(_settle(world, load, costs, batch))


def _once(machine: str, amount: float) -> Process:
    yield machine, amount


def _settle(world: World, load: Load, costs: Costs, sent: int) -> Process:
    yield "sleep", GATHER
    yield "db", (sent * costs.server * (1 - CLAIM_OF_SERVER) + costs.server_commit) * US
    load.ended += sent
    load.last = max(load.last, world.now)
