"""Which occurrences there must be, and which there may be; by the oracle, never by the product.

Between an edit's request and its answer either schedule may have been in force: what only one of
them names may be there and need not.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from chaos.checker.evidence import Call, Evidence, Job
from domain.oracle import occurrences

EDITS = frozenset({"edit"})
ENDS = frozenset({"delete"})
BLOCK_MS = 600_000.0


@dataclass(frozen=True)
class Expected:
    """Sorted instants of one job in milliseconds, and since when it is paused, if it is."""

    demanded: list[int]
    permitted: list[int]

    def between(self, first_ms: float, last_ms: float) -> list[int]:
        """Return the permitted ones from a first to a last, both included."""
        begin, end = bisect_left(self.permitted, first_ms), bisect_right(self.permitted, last_ms)
        return self.permitted[begin:end]


def expected(evidence: Evidence, job: Job, *, margin_ms: float) -> Expected:
    """Name the occurrences of a job until shortly before the records were read."""
    calls = sorted((one for one in evidence.calls if one.job == job.id), key=lambda c: c.sent_ms)
    demanded: set[int] = set()
    permitted: set[int] = set()
    schedule, sure_from, may_from = job.schedule, job.created_ms, job.created_ms
    for call in (one for one in calls if one.verb in EDITS | ENDS):
        if call.status is not None and 400 <= call.status < 500:
            continue
        acked = call.acked_ms if call.acknowledged and call.acked_ms else evidence.read_ms
        demanded |= _named(schedule, sure_from, call.sent_ms)
        permitted |= _named(schedule, may_from, acked)
        if call.verb in ENDS:
            break
        assert call.schedule is not None
        schedule, sure_from, may_from = call.schedule, acked, call.sent_ms
    else:
        demanded |= _named(schedule, sure_from, evidence.read_ms)
        permitted |= _named(schedule, may_from, evidence.seen_ms + margin_ms)
    until = min(_paused_from(calls), evidence.read_ms - margin_ms)
    return Expected(sorted(at for at in demanded if at <= until), sorted(permitted))


def _paused_from(calls: list[Call]) -> float:
    """Since when the job is paused at the end; a pause that was not acknowledged may hold too."""
    since = float("inf")
    for call in calls:
        refused = call.status is not None and 400 <= call.status < 500
        if call.verb == "pause" and not refused:
            since = min(since, call.sent_ms)
        elif call.verb == "resume" and call.acknowledged:
            since = float("inf")
    return since


def _named(schedule: Mapping[str, Any], from_ms: float, until_ms: float) -> set[int]:
    if until_ms <= from_ms:
        return set()
    low, high = int(from_ms // BLOCK_MS * BLOCK_MS), int((until_ms // BLOCK_MS + 1) * BLOCK_MS)
    all_named = _block(json.dumps(schedule, sort_keys=True), low, high)
    return set(all_named[bisect_right(all_named, from_ms) : bisect_right(all_named, until_ms)])


@lru_cache(maxsize=4096)
def _block(schedule: str, low_ms: int, high_ms: int) -> list[int]:
    """Ask the oracle once for the many jobs of one schedule."""
    return occurrences(json.loads(schedule), _instant(low_ms - 1), _instant(high_ms))


def _instant(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
