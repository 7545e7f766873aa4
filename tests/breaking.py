"""Breaks what each alert watches, on real replicas, and sees it fire and clear.

The rules are those of deploy/prometheus: the same expressions and thresholds, with shorter windows
and without patience, so that a whole round takes minutes.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from breaking_upkeep import BREAKS_OF_UPKEEP
from commands import free_port
from fleet import schedule
from observed import ONCE, Replicas, waits
from processes import frozen
from prometheus import RULES, Prometheus
from receiver import OK
from scheduler_svc.store.partitions import partition_name
from scheduler_svc.store.pool import Connection
from sink import Sinking

# The library alone: its command stays between us and the replica, which would outlive it.
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
CLEAR_SECONDS = 120.0


def quick_rules(folder: Path) -> Path:
    """Write the rules with the same expressions over shorter windows, and without patience."""
    text = re.sub(r"for: \w+", "for: 0s", RULES.read_text())
    text = re.sub(r"\[(?:5m|10m|15m|1h)\]", "[20s]", text)
    text = re.sub(r"offset \w+", "offset 20s", text)
    (folder / "quick.yml").write_text(text)
    return folder / "quick.yml"


class Rig:
    """What there is to break."""

    def __init__(
        self, seen: Prometheus, fleet: Replicas, ledger: Connection, sink: Sinking, server: int
    ) -> None:
        self.seen, self.fleet, self.ledger, self.sink = seen, fleet, ledger, sink
        self.server, self.folder = server, seen.targets.parent

    async def fire(self, *alerts: str, seconds: float = 60) -> None:
        await waits(self.seen, alerts, firing=True, seconds=seconds)

    async def clear(self, *alerts: str) -> None:
        await waits(self.seen, alerts, firing=False, seconds=CLEAR_SECONDS)


async def not_scraped(rig: Rig) -> tuple[str, ...]:
    """Take the targets out of the file that Prometheus reads."""
    rig.seen.watch([])
    await rig.fire("SchedulerNotScraped", seconds=60)
    rig.seen.watch(rig.fleet.ports)
    return ("SchedulerNotScraped",)


async def killed(rig: Rig) -> tuple[str, ...]:
    """Kill a replica, and start it again."""
    alerts = ("SchedulerReplicaDown", "SchedulerReplicasMissing")
    await rig.fleet.end(2)
    await rig.fire(*alerts)
    await rig.fleet.start(2)
    return alerts


async def failing(rig: Rig) -> tuple[str, ...]:
    """Have a target that refuses until it is found again."""
    alerts = ("SchedulerFailures", "SchedulerBreakerOpen")
    port = free_port()
    target = {"url": f"http://127.0.0.1:{port}/", "concurrency_key": "refuses"}
    given: dict[str, Any] = {"target": target, **ONCE}
    await schedule(rig.ledger, "", jobs=40, begin_seconds=1, over_seconds=1, **given)
    await rig.fire(*alerts)
    async with _answering(port):
        await rig.clear("SchedulerBreakerOpen")
    return alerts


@asynccontextmanager
async def _answering(port: int) -> AsyncIterator[None]:
    """Answer 200 there, to whatever is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(OK)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, family=socket.AF_INET)
    try:
        yield
    finally:
        server.close()


async def parked(rig: Rig) -> tuple[str, ...]:
    """Store a job that nobody can read."""
    await schedule(rig.ledger, "x", jobs=1, begin_seconds=1, over_seconds=0, overlap=7)
    await rig.fire("SchedulerJobParked")
    return ("SchedulerJobParked",)


async def hung(rig: Rig) -> tuple[str, ...]:
    """Have calls that do not come back fill every slot, and a job from before all of it wait."""
    alerts = (
        *("SchedulerSlotsFull", "SchedulerBacklogGrows", "SchedulerNeverRan", "SchedulerLate"),
    )
    target = {
        "url": rig.sink.url("/wait/25000"),
        "timeout": "60s",
        "concurrency_key": "hangs",
    }
    await schedule(rig.ledger, "", jobs=330, begin_seconds=1, over_seconds=2, target=target)
    await rig.fire("SchedulerSlotsFull")
    await schedule(
        rig.ledger, rig.sink.url(), jobs=1, begin_seconds=-400, over_seconds=0, **LONG_GRACE
    )
    # One after the other: the last is known when the first calls that waited have come back.
    for one in ("SchedulerNeverRan", "SchedulerBacklogGrows", "SchedulerLate"):
        await rig.fire(one, seconds=90)
    return alerts


LONG_GRACE: dict[str, Any] = {"misfire": {"policy": "once", "grace": "1h"}}


async def frozen_database(rig: Rig) -> tuple[str, ...]:
    """Freeze PostgreSQL while jobs come due that can not wait."""
    hasty: dict[str, Any] = {"misfire": {"policy": "skip", "grace": "1s"}}
    url = rig.sink.url()
    await schedule(rig.ledger, url, jobs=20, begin_seconds=5, over_seconds=1, **hasty)
    with frozen(rig.server):
        await rig.fire("SchedulerLeaseLost")
        await rig.fire("SchedulerDatabaseAway", "SchedulerNothingTicks")
    await rig.fire("SchedulerMisfires")
    return (
        *("SchedulerLeaseLost", "SchedulerDatabaseAway"),
        *("SchedulerNothingTicks", "SchedulerMisfires"),
    )


async def locked_timers(rig: Rig) -> tuple[str, ...]:
    """Lock the table of timers: replicas live and beat, and no pass comes to its end."""
    async with rig.ledger.transaction():
        await rig.ledger.execute("LOCK TABLE job_timers IN ACCESS EXCLUSIVE MODE")
        await rig.fire("SchedulerReplicaStuck", seconds=150)
    return ("SchedulerReplicaStuck",)


async def no_tomorrow(rig: Rig) -> tuple[str, ...]:
    """Drop the days that were made ahead; a replica that starts makes them again."""
    today = datetime.now(UTC).date()
    for ahead in range(1, 5):
        name = partition_name(today + timedelta(days=ahead))
        await rig.ledger.execute(f"DROP TABLE IF EXISTS {name}")
    await rig.fire("SchedulerPartitionsMissing")
    await rig.fleet.again(1)
    return ("SchedulerPartitionsMissing",)


async def other_clock(rig: Rig) -> tuple[str, ...]:
    """Run a replica on a host whose clock is three seconds ahead."""
    assert FAKETIME is not None
    ahead = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+3s", "DONT_FAKE_MONOTONIC": "1"}
    await rig.fleet.again(1, **ahead)
    await rig.fire("SchedulerClockOff")
    await rig.fleet.again(1)
    return ("SchedulerClockOff",)


BREAKS: tuple[Callable[[Rig], Awaitable[tuple[str, ...]]], ...] = (
    failing,
    parked,
    hung,
    killed,
    no_tomorrow,
    not_scraped,
    frozen_database,
    locked_timers,
    *((other_clock,) if FAKETIME is not None else ()),
    *BREAKS_OF_UPKEEP,
)


async def break_everything(rig: Rig) -> set[str]:
    """Break one thing after the other; return the alerts that have fired and cleared."""
    found: set[str] = set()
    for one in BREAKS:
        alerts = await one(rig)
        await rig.clear(*alerts)
        print(f"{one.__doc__} {', '.join(alerts)} fired and cleared", flush=True)
        found |= set(alerts)
    return found
