"""Play scenarios and judge them.

    python tests/chaos/play.py [--seed N] [--keep FOLDER] [NAME ...]     all of them, or those named
    python tests/chaos/play.py --again FOLDER NAME                       judge what was kept again

Prints for each what was lost, early, doubled and late, and what nothing explains; keeps evidence
and pictures of what failed. Exit code 1 where something did.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.checker.evidence import Finding
from chaos.checker.fairness import judge_fairness, spoken
from chaos.checker.health import judge_health, read_health
from chaos.checker.picture import picture
from chaos.checker.reading import read
from chaos.checker.resources import judge_resources, read_uses
from chaos.checker.sayings import judge_former, judge_zones, read_notes
from chaos.checker.verdict import Verdict, judge
from chaos.rig.driver import played
from chaos.rig.plan import Scenario
from chaos.rig.world import missing
from chaos.scenarios import SCENARIOS, named
from scheduler_svc.domain.duration import milliseconds

PICTURES_MAX = 10


def judged(scenario: Scenario, folder: Path) -> tuple[Verdict, list[Finding]]:
    """Judge what a scenario left: the verdict, and what fails it."""
    lease_ms = float(milliseconds(scenario.settings.get("lease", "15s")))
    evidence = read(folder, lease_ms=lease_ms, takes_ms=scenario.load.takes * 1000)
    verdict = judge(evidence, scenario.musts.bounds)
    failing = list(verdict.guilty)
    failing += [
        one
        for one in verdict.findings
        if one.kind == "doubled" and one.cause and one.cause not in scenario.musts.explained
    ]
    if scenario.musts.truthful:
        health = judge_health(*read_health(folder))
        failing += [one for one in health if one.cause is None]
    if scenario.musts.gives_back:
        failing += judge_resources(read_uses(folder))
    if scenario.musts.fair:
        failing += judge_fairness(verdict.looked, *scenario.musts.fair)
    if scenario.musts.shunned:
        failing += judge_former(read_notes(folder))
    if scenario.musts.told_apart:
        failing += judge_zones(read_notes(folder))
    return verdict, failing


def drawn(verdict: Verdict, failing: list[Finding], folder: Path) -> None:
    """Draw the jobs of what failed."""
    jobs = dict.fromkeys(one.job for one in failing if one.job)
    known = {job.id for job in verdict.looked.all.jobs}
    for job in [one for one in jobs if one in known][:PICTURES_MAX]:
        (folder / f"{job}.svg").write_text(picture(verdict.looked, job))


def told(
    scenario: Scenario, verdict: Verdict, failing: list[Finding], seed: int, folder: Path
) -> str:
    """Write the four numbers, and what failed."""
    said = "FAILED" if failing else "held"
    lines = [f"{scenario.name} {said} (seed {seed}): {scenario.says}", f"  {verdict}"]
    if scenario.musts.gives_back:
        lines.append("  used: " + ", ".join(str(one) for one in read_uses(folder)))
    if scenario.musts.fair:
        lines.append("  " + spoken(verdict.looked, *scenario.musts.fair[:2]))
    lines += [f"  ! {one}" for one in failing[:20]]
    if len(failing) > 20:
        lines.append(f"  and {len(failing) - 20} more")
    return "\n".join(lines)


def play(scenario: Scenario, seed: int, folder: Path) -> tuple[str, list[Finding]]:
    """Play and judge one; return what to print and what failed."""
    asyncio.run(played(scenario, folder, seed))
    return again(scenario, seed, folder)


def again(scenario: Scenario, seed: int, folder: Path) -> tuple[str, list[Finding]]:
    """Judge what was kept."""
    verdict, failing = judged(scenario, folder)
    drawn(verdict, failing, folder)
    text = told(scenario, verdict, failing, seed, folder)
    (folder / "verdict.txt").write_text(text + "\n")
    return text, failing


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[one.name for one in SCENARIOS])
    parser.add_argument("--seed", type=int, default=Random().randrange(1, 10**6))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", type=Path)
    given = parser.parse_args(arguments)
    if given.again:
        text, failing = again(named(given.names[0]), given.seed, given.again)
        print(text)
        return 1 if failing else 0
    base = given.keep or Path(tempfile.mkdtemp(prefix="scheduler-chaos-"))
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o711)  # passable, for under root the server is another account
    held = [_holds(named(name), given.seed, base) for name in given.names]
    return 0 if all(held) else 1


def _holds(scenario: Scenario, seed: int, base: Path) -> bool:
    """Play one and print what came of it; one that breaks off fails, and the rest is played."""
    if lacking := missing(scenario):
        print(f"{scenario.name} left out: {lacking}", flush=True)
        return True
    began = time.monotonic()
    folder = base / f"{scenario.name}-{seed}"
    try:
        text, failing = play(scenario, seed, folder)
        holds = not failing
    except Exception:  # noqa: BLE001 - whatever it was, it is told
        holds = False
        text = f"{scenario.name} FAILED (seed {seed}): it broke off\n{traceback.format_exc()}"
    print(f"{text}\n  {time.monotonic() - began:.0f} s", flush=True)
    if holds:
        shutil.rmtree(folder / "primary", ignore_errors=True)
    else:
        print(f"  evidence in {folder}", flush=True)
    return holds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
