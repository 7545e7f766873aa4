"""The database's clock is set while replicas work: nobody is taken for dead because of that."""

from datetime import datetime

import pytest

from clock import HandClock
from factories import MORNING_MS
from receiver import Receiver
from rig import HOUR, SECOND, Rig, rigged
from scheduler_svc.domain.events import EventName
from scheduler_svc.engine import upkeep
from scheduler_svc.store.pool import Pool

STEP = 90 * SECOND


class SetClock(HandClock):
    """A clock by hand that finds, at its next reading, that the database's was set forward."""

    stepping = 0.0
    set_ms = 0

    def observe(self, *, sent: float, received: float, now: datetime) -> float:  # noqa: ARG002
        stepped, self.stepping = self.stepping, 0.0
        self.ms += round(stepped * 1000)
        self.set_ms += round(stepped * 1000)
        return stepped

    def monotonic(self) -> float:
        return (self.ms - self.set_ms) / 1000


@pytest.fixture
def clock() -> SetClock:
    return SetClock(MORNING_MS)


async def test_after_a_step_forward_nobody_rescues_what_the_living_hold(
    engine_pool: Pool, receiver: Receiver, clock: SetClock
) -> None:
    """Their leases look as if they were over, until they have beaten by the new clock."""
    async with (
        rigged(engine_pool, receiver, clock=HandClock(MORNING_MS)) as holder,
        rigged(engine_pool, receiver, clock=clock) as other,
    ):
        await holder.job(schedule={"every": "1h"})
        holder.clock.move(HOUR - 500)
        await holder.beat()
        await holder.tick()
        clock.ms = holder.clock.ms
        clock.stepping = STEP / SECOND
        assert await upkeep.beat(other.parts, other.heart, clock, other.outbox)
        assert [f["seconds"] for f in other.told(EventName.CLOCK_STEPPED)] == [STEP / SECOND]
        assert other.heart.gap_ended == clock.monotonic()
        assert not upkeep.may_rescue(other.parts, other.heart)
        await _beats_by_the_new_clock(holder)
        clock.move(8 * SECOND)
        assert upkeep.may_rescue(other.parts, other.heart)
        assert await upkeep.rescue(other.parts) == 0
        assert len(holder.held()) == 1


async def _beats_by_the_new_clock(holder: Rig) -> None:
    holder.clock.move(STEP)
    await holder.beat()


async def test_a_replica_that_has_just_come_gives_the_others_time_to_say_that_they_live(
    rig: Rig,
) -> None:
    """After an outage it may be back before they have beaten again."""
    rig.heart.gap_ended = rig.clock.monotonic()
    rig.clock.move(7 * SECOND)
    assert not upkeep.may_rescue(rig.parts, rig.heart)
    rig.clock.move(SECOND)
    assert upkeep.may_rescue(rig.parts, rig.heart)
