"""What is kept for a while is forgotten after it, batch by batch: answers, budgets, sessions."""

import pytest

from receiver import Receiver
from rig import HOUR, Rig, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine import prune
from scheduler_svc.store.pool import Pool


async def keys(rig: Rig, count: int, *, age_ms: int) -> None:
    await rig.parts.pool.execute(
        """
        INSERT INTO idempotency_keys
        SELECT 'default', '', $1::text || n, '', 201, '{}', 'application/json', '', $2
        FROM generate_series(1, $3::integer) AS n
        """,
        f"{age_ms}-",
        instant_at(rig.clock.ms - age_ms),
        count,
    )


async def test_what_is_a_day_old_goes_and_the_rest_stays(
    pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "PRUNE_BATCH", 4)
    async with rigged(pool, receiver) as rig:
        await keys(rig, 10, age_ms=24 * HOUR)
        await keys(rig, 3, age_ms=24 * HOUR - 1)
        assert await prune.prune(rig.parts) == 10
        assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 3
        assert await prune.prune(rig.parts) == 0


async def test_budgets_that_nobody_draws_from_are_forgotten(pool: Pool, receiver: Receiver) -> None:
    async with rigged(pool, receiver) as rig:
        await pool.execute(
            "INSERT INTO rate_buckets VALUES ('old', 'reads', 0, $1), ('new', 'reads', 0, $2)",
            instant_at(rig.clock.ms - 600_001),
            instant_at(rig.clock.ms - 599_999),
        )
        assert await prune.prune_buckets(rig.parts) == 1
        assert await pool.fetchval("SELECT client FROM rate_buckets") == "new"


async def test_sessions_that_are_over_for_a_day_are_forgotten_and_no_other(
    pool: Pool, receiver: Receiver
) -> None:
    async with rigged(pool, receiver) as rig:
        for hours in (-49, -25, -23, 1):
            ends = instant_at(rig.clock.ms + hours * HOUR)
            await pool.execute(
                "INSERT INTO sessions VALUES (sha256($1::text::bytea), sha256(''), $2, $2, $3)",
                str(hours),
                instant_at(0),
                ends,
            )
        assert await prune.prune_sessions(rig.parts) == 2
        left = await pool.fetchval("SELECT min(expires_at) FROM sessions")
        assert left == instant_at(rig.clock.ms - 23 * HOUR)
