"""How late first calls were, before, during and after what was broken; and which were too late.

A bound is never loosened for a machine that is busy: what exceeds it is told, and beside it how
long the machine let a process of ours, which does nothing but sleep, wait at that time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos.checker.evidence import Evidence, Fault, Finding, Looked, Run
from chaos.checker.ledger import stamp

RECOVERY_MS = 21_000.0
"""A lease, the look for the dead and a pass: what a fault may cost beyond its own length."""


@dataclass(frozen=True)
class Bounds:
    """Milliseconds: of a quiet time, of what no lost replica held, and how long healing takes."""

    quiet_max: float = 1000.0
    untouched_max: float | None = None
    healing: float = 60_000.0


@dataclass(frozen=True)
class Phase:
    """Lateness of the first calls of a phase, sorted."""

    name: str
    late_ms: Sequence[float]

    def share(self, part: float) -> float:
        """Return the lateness that this part of the calls did not exceed."""
        if not self.late_ms:
            return 0.0
        return self.late_ms[min(len(self.late_ms) - 1, int(part * len(self.late_ms)))]

    def __str__(self) -> str:
        if not self.late_ms:
            return f"{self.name}: none"
        return (
            f"{self.name} ({len(self.late_ms)}): p50 {self.share(0.5):.0f}"
            f" p99 {self.share(0.99):.0f} max {self.late_ms[-1]:.0f} ms"
        )


def firsts(looked: Looked) -> list[tuple[Run, float]]:
    """Return scheduled runs with the lateness of their first call."""
    found = []
    for run in looked.all.runs:
        requests = looked.of_run.get(run.id)
        if run.trigger == "schedule" and requests:
            found.append((run, requests[0].at_ms - run.scheduled_ms))
    return found


def phases(looked: Looked, *, healing_ms: float) -> list[Phase]:
    """Sort first calls by when their instant lay."""
    sorted_out: dict[str, list[float]] = {"before": [], "during": [], "after": []}
    faults = looked.all.faults
    begin = min((fault.from_ms for fault in faults), default=float("inf"))
    end = max((fault.until_ms for fault in faults), default=float("-inf")) + healing_ms
    for run, late in firsts(looked):
        at = run.scheduled_ms
        name = "before" if at < begin - 1000 else "after" if at > end else "during"
        sorted_out[name].append(late)
    return [Phase(name, sorted(late)) for name, late in sorted_out.items()]


def untouched(looked: Looked) -> Phase:
    """Those that no lost replica held."""
    late = [late for run, late in firsts(looked) if not run.lost]
    return Phase("not in a lost hand", sorted(late))


def judge_lateness(looked: Looked, bounds: Bounds) -> Iterator[Finding]:
    """Find first calls beyond the bound of their time."""
    evidence = looked.all
    for run, late in firsts(looked):
        at = run.scheduled_ms
        near = [fault for fault in evidence.faults if _near(fault, at, bounds)]
        line_ms = evidence.takes_ms  # what is called before it may be called again
        lengths = (f.until_ms - f.from_ms + RECOVERY_MS + line_ms for f in near)
        bound = max([bounds.quiet_max, *lengths])
        if not run.lost and bounds.untouched_max is not None:
            bound = bounds.untouched_max
        if late > bound:
            why = f"{stamp(at)} was {late:.0f} ms late, {bound:.0f} are allowed"
            cause = _machine(evidence, at, at + late, late - bound)
            yield Finding("late", why, run.job, run.id, at, cause)


def _near(fault: Fault, at_ms: float, bounds: Bounds) -> bool:
    return fault.from_ms - bounds.quiet_max <= at_ms <= fault.until_ms + bounds.healing


def _machine(evidence: Evidence, from_ms: float, until_ms: float, over_ms: float) -> str | None:
    """Name the machine where it stood still for as much as the bound was exceeded."""
    stood = sum(one.ms for one in evidence.stalls if from_ms - 1000 <= one.at_ms <= until_ms + 1000)
    return f"the machine stood still for {stood:.0f} ms" if stood >= over_ms else None
