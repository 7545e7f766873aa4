"""Prove that a real Prometheus counts what the API counts, and that every alert fires and clears.

    python deploy/prove_metrics.py [--minutes 10] [--fires 30] [--no-alerts]

Starts a PostgreSQL, three replicas and a Prometheus of its own, all on loopback. After so many
minutes of load every count of runs, attempts, fires, skipped occurrences, retries and requests is
compared with what the API tells; then each thing that an alert watches is broken and mended. Needs
`prometheus`; for the alert of clocks that are apart `faketime`, else that one is left to promtool.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from breaking import Rig, break_everything, quick_rules
from fleet import database
from observed import EVERY_SECONDS, replicas, under_load
from prometheus import PROMETHEUS, RULES, prometheus
from scheduler_svc.store import embedded, migrate
from sink import sinking


async def prove(folder: Path, *, seconds: float, a_second: float, alerts: bool) -> None:
    """Load, compare, break; print what was found; raise AssertionError where it is not so."""
    with embedded.throw_away() as server:
        await migrate.migrate(server.dsn)
        async with AsyncExitStack() as stack:
            sink = await stack.enter_async_context(sinking())
            ledger = await stack.enter_async_context(database(server.dsn))
            fleet = await stack.enter_async_context(replicas(server.dsn))
            rules = quick_rules(folder)
            seen = await stack.enter_async_context(
                prometheus(folder, fleet.ports, every=f"{EVERY_SECONDS:g}s", rules=rules)
            )
            load = {"seconds": seconds, "a_second": a_second}
            print(await under_load(seen, fleet, ledger, sink.url("/wait/20"), **load), flush=True)
            loaded = await seen.rules()
            assert {rule["health"] for rule in loaded} == {"ok"}, loaded
            named = {rule["name"] for rule in loaded}
            assert len(loaded) == RULES.read_text().count("- alert:")
            print(f"{len(loaded)} rules load and are well", flush=True)
            if alerts:
                proved = await break_everything(Rig(seen, fleet, ledger, sink, server.pid))
                left = sorted(named - proved)
                print(f"{len(proved)} of {len(named)} alerts; left to promtool: {left or 'none'}")


def main() -> None:
    """Read the command line and prove."""
    given = argparse.ArgumentParser(description="Prometheus against the API")
    given.add_argument("--minutes", type=float, default=10.0)
    given.add_argument("--fires", type=float, default=30.0, help="a second")
    given.add_argument("--no-alerts", action="store_true", help="only compare")
    asked = given.parse_args()
    if PROMETHEUS is None:
        raise SystemExit("Prometheus is not installed")
    with tempfile.TemporaryDirectory(prefix="metrics-") as made:
        asyncio.run(
            prove(
                Path(made),
                seconds=asked.minutes * 60,
                a_second=asked.fires,
                alerts=not asked.no_alerts,
            )
        )


if __name__ == "__main__":
    main()
