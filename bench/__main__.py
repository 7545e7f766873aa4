"""`make bench`: every benchmark in turn, or the one that is named; each prints its own figures.

What takes ten minutes or more runs only when it is named, and so does `--compare`: the burst beside
its peers, which installs them.

A benchmark is a script, never a timed test: it prints figures and ratios, and passes no judgement.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
COMPARE = "compare"
ASKED_FOR = frozenset({COMPARE, "growth", "idle", "old_snapshot", "soak"})


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(file.stem for file in FOLDER.glob("[a-z]*.py"))


def main(arguments: list[str]) -> int:
    """Run the named benchmark with the rest of the arguments, or all of them."""
    if arguments[:1] == ["--compare"]:
        arguments = [COMPARE, *arguments[1:]]
    if arguments and arguments[0] not in names():
        print(f"there is no benchmark '{arguments[0]}'; there are: {', '.join(names())}")
        return 2
    for name in arguments[:1] or [name for name in names() if name not in ASKED_FOR]:
        print(f"== {name}", flush=True)
        command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments[1:]]
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
