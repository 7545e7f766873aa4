"""What the engine's statements cost at 1,000,000 jobs and 5,000,000 past runs.

    python bench/plans.py [--jobs N] [--runs N]

Asks the plan test's questions of a larger database: rows read and buffers touched may not grow.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Seed, ask, print."""
    given = argparse.ArgumentParser(description="plans of the engine's statements at size")
    given.add_argument("--jobs", type=int, default=1_000_000)
    given.add_argument("--runs", type=int, default=5_000_000)
    asked = given.parse_args()
    print(f"{asked.jobs} jobs, {asked.runs} past runs, batches of 500", flush=True)
    env = os.environ | {"PLANS_JOBS": str(asked.jobs), "PLANS_RUNS": str(asked.runs)}
    command = [sys.executable, "-m", "pytest", "tests/store/test_plans.py", "-q", "-s"]
    command += ["--no-header", "-p", "no:randomly"]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
