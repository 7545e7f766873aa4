"""What a scenario is: data. A load, a list of steps drawn from a seed, and what must hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chaos.checker.lateness import Bounds


@dataclass(frozen=True)
class Step:
    """At a second of the scenario, do this to that; what it opens as a fault, another step ends."""

    at: float
    act: str
    on: str = ""
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """One-shots a second, and jobs that repeat: how many, how often, and how they are called."""

    per_second: float = 5.0
    repeating: Sequence[tuple[int, Mapping[str, Any]]] = ()
    wait_ms: int = 20
    takes: float = 0.0
    """How long a call takes at most, in seconds, with what is called before it under `queue`."""
    burst: int = 0
    """How many more at one instant, ten seconds after the begin."""
    crowds: Sequence[tuple[str, int]] = ()
    """Namespaces, and how many one-shots each of them has at one instant, half a minute later."""


@dataclass(frozen=True)
class Musts:
    """What must hold beside what always must."""

    bounds: Bounds = field(default_factory=Bounds)
    explained: frozenset[str] = frozenset()
    """Which kinds of fault may explain a second call; none: there may be none."""
    gives_back: bool = False
    """What replicas and database use at the end is what they used at the beginning."""
    truthful: bool = False
    """Readiness, refusals and liveness are held against the outages of the database."""
    fair: tuple[str, str, int] | None = None
    """Before each run of this namespace, of that other one at most so many are called."""
    shunned: bool = False
    """Nobody wrote to a former primary that came back, or stayed with it."""
    told_apart: bool = False
    """Replicas of other zone data say so, and those that would move many jobs do not start."""


@dataclass(frozen=True)
class Scenario:
    """One thing that is done to a number of replicas, for so long."""

    name: str
    says: str
    seconds: float
    steps: Callable[[Random], Sequence[Step]]
    load: Load
    musts: Musts = field(default_factory=Musts)
    replicas: int = 3
    settings: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    """Of `faketime`, `standby`, `follower` (one that confirms nothing), `pgbouncer`, `before`
    (the build before this one)."""
    meddles: int = 0
    """On how many jobs of their own callers edit, pause, resume and trigger all the time."""
    burners: int = 0
    """How many processes do nothing but use up processors meanwhile."""
    dated: str = ""
    """The instant that all clocks show when the server is made; the machine's where it is empty."""
    query: str = ""
    """What the address of the database says behind its name; with it, it names the standby too."""
    short: bool = False
    """Part of the subset that the suite plays."""


def nothing(_: Random) -> Sequence[Step]:
    """Break nothing."""
    return ()
