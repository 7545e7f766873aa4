"""The command line's door: `python -m scheduler_svc` and the script `scheduler-svc`."""

import sys

from scheduler_svc.cli.run import run


def main() -> None:
    """Do what the arguments ask and leave with the exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
