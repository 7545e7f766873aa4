"""The whole judgement of one run of a scenario, and how it is told."""

from collections import Counter
from dataclasses import dataclass

from chaos.checker.anonymous import unmatched
from chaos.checker.conduct import judge_conduct
from chaos.checker.evidence import TAIL, Evidence, Finding, Looked, looked
from chaos.checker.kept import judge_kept
from chaos.checker.lateness import Bounds, Phase, judge_lateness, phases, untouched
from chaos.checker.ledger import judge_ledger
from chaos.checker.misfires import judge_misfires
from chaos.checker.sendings import judge_sendings

SHOWN_MAX = 20
LOST = frozenset({"lost", "forgotten"})


@dataclass(frozen=True)
class Verdict:
    """What was found, and the numbers that matter."""

    looked: Looked
    findings: list[Finding]
    phases: list[Phase]
    untouched: Phase

    def count(self, kind: str) -> int:
        """Return how many findings of a kind there are, explained ones included."""
        return sum(one.kind == kind for one in self.findings)

    @property
    def guilty(self) -> list[Finding]:
        """What no fault explains, and what nothing excuses."""
        return [one for one in self.findings if one.cause is None]

    @property
    def unsafe(self) -> list[Finding]:
        """The same without lateness, which is also the machine's."""
        return [one for one in self.guilty if one.kind != "late"]

    def __str__(self) -> str:
        found = Counter(one.kind for one in self.findings)
        doubled = Counter(
            one.cause or "UNEXPLAINED" for one in self.findings if one.kind == "doubled"
        )
        by = ", ".join(f"{count} by {cause}" for cause, count in sorted(doubled.items())) or "0"
        others = {k: n for k, n in found.items() if k not in LOST | {"early", "doubled", "late"}}
        late = [one for one in self.findings if one.kind == "late"]
        excused = sum(one.cause is not None for one in late)
        stood = max((one.ms for one in self.looked.all.stalls), default=0.0)
        return (
            f"{len(self.looked.all.jobs)} jobs, {len(self.looked.all.runs)} runs,"
            f" {len(self.looked.all.requests)} calls, {len(self.looked.all.faults)} faults:"
            f" lost {sum(found[kind] for kind in LOST)}, early {found['early']}, doubled {by},"
            f" too late {len(late)} ({excused} while the machine stood still)"
            + "".join(f", {kind} {count}" for kind, count in sorted(others.items()))
            + self._tail()
            + "\n  lateness "
            + "; ".join(str(phase) for phase in self.phases)
            + f"; {self.untouched}; the machine stood still for {stood:.0f} ms at most"
        )

    def _tail(self) -> str:
        """Name what went with a primary whose standby was behind, and how long that was."""
        tails = [one for one in self.looked.all.faults if one.kind == TAIL]
        if not tails:
            return ""
        found = Counter(one.kind for one in self.findings if one.cause == TAIL)
        named = ", ".join(f"{kind} {count}" for kind, count in sorted(found.items())) or "nothing"
        length = sum(one.until_ms - one.from_ms for one in tails)
        return f"\n  gone with a tail of {length:.0f} ms: {named}"

    def told(self) -> str:
        """Return the numbers, and the first of what nothing explains."""
        shown = self.guilty[:SHOWN_MAX]
        rest = len(self.guilty) - len(shown)
        lines = [str(self), *(f"  {one}" for one in shown)]
        return "\n".join([*lines, f"  and {rest} more"] if rest else lines)


def judge(evidence: Evidence, bounds: Bounds | None = None) -> Verdict:
    """Judge everything twice: by ids, and by windows alone."""
    bounds = bounds or Bounds()
    sorted_out = looked(evidence)
    findings = [
        *judge_ledger(sorted_out),
        *judge_sendings(sorted_out),
        *judge_conduct(sorted_out),
        *judge_lateness(sorted_out, bounds),
        *judge_kept(sorted_out),
        *judge_misfires(sorted_out),
    ]
    if any(fault.kind == "clock" for fault in evidence.faults):
        return Verdict(sorted_out, findings, *_numbers(sorted_out, bounds))  # no order to match by
    longest = max((f.until_ms - f.from_ms for f in evidence.faults), default=0.0)
    missed = Counter(job for job, _ in unmatched(sorted_out, late_ms=longest + 60_000))
    missed.subtract(Counter(one.job for one in findings if one.kind in LOST and one.job))
    for job, count in missed.items():
        if count > 0:
            why = f"{count} windows without a call, though the records name one"
            findings.append(Finding("lost", why, job))
    return Verdict(sorted_out, findings, *_numbers(sorted_out, bounds))


def _numbers(sorted_out: Looked, bounds: Bounds) -> tuple[list[Phase], Phase]:
    return phases(sorted_out, healing_ms=bounds.healing), untouched(sorted_out)
