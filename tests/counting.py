"""What a fire costs in things that can be counted, for counts are the same on a busy machine.

The jobs are made in the store directly, all due at one instant, and the pieces of one replica are
moved by hand: claim, send, settle. The receiver is a process of its own, so that nothing of it
is counted.
"""

import cProfile
import json
import pstats
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rig import Rig
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection

OURS = str(Path("src", "scheduler_svc"))
DUE = """
    WITH made AS (
        INSERT INTO jobs (id, namespace, name, description, labels, definition, state, revision,
            created_at, updated_at)
        SELECT gen_random_uuid(), 'default', NULL, '', '{}', $2::json, 'active', 1,
            $3::timestamptz - interval '1 day', $3
        FROM generate_series(1, $1::integer)
        RETURNING id
    )
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT id, $3, $3, 1 FROM made
"""
READ = """
    SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
    FROM pg_stat_user_tables WHERE relname = 'job_timers'
"""


@dataclass
class Statements:
    """Names of statements, as a pool tells them."""

    names: Counter[str] = field(default_factory=Counter)

    def __call__(self, name: str, _seconds: float, /, *, failed: bool) -> None:
        assert not failed
        self.names[name] += 1


async def due(rig: Rig, url: str, *, jobs: int, **definition: Any) -> None:
    """Make jobs that are due at the rig's next second, and let that come."""
    at = rig.clock.ms + 1000
    made = {
        "target": {"url": url, "body": {"n": "x" * 192}},
        "schedule": {"every": "1d", "anchor": f"{instant_at(at):%Y-%m-%dT%H:%M:%SZ}"},
    }
    await rig.parts.pool.execute(DUE, jobs, json.dumps(made | definition), instant_at(at))
    await rig.pass_time(1000)


async def fire(rig: Rig) -> None:
    """Claim, send and settle all that is due."""
    while True:
        await rig.tick()
        if not len(rig.parts.hand):
            return
        await rig.send()


async def wal(conn: Connection) -> int:
    """Return where the log of the database stands, in bytes."""
    return int(await conn.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


async def timers_read(conn: Connection) -> int:
    """Return how many rows of timers this connection has read so far, and those that told."""
    await conn.execute("SELECT pg_stat_force_next_flush()")
    return int(await conn.fetchval(READ))


@contextmanager
def calls() -> Iterator[Callable[[], dict[str, int]]]:
    """Count calls of functions of ours, by `file:function`, in what runs within the block.

    Functions of one name in a file are counted together.
    """
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield lambda: _of_ours(profile)
    finally:
        profile.disable()


def _of_ours(profile: cProfile.Profile) -> dict[str, int]:
    profile.disable()
    stats: dict[tuple[str, int, str], tuple[Any, ...]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    found: Counter[str] = Counter()
    for (file, _, name), each in stats.items():
        if OURS in file:
            found[f"{file.partition(OURS)[2]}:{name}"] += each[1]
    return found


@contextmanager
def allocated() -> Iterator[Callable[[], int]]:
    """Tell the most bytes that were held at once in the block, beyond those held before it.

    Whoever traces lines (coverage) does not trace these, for what it notes would count.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        sys.settrace(tracer)
