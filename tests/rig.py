"""An engine in pieces: its moves made one at a time, on the real store and real sockets.

The clock moves by hand, so a test says when; nothing of the engine is replaced.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec
from asyncpg import Record
from msgspec.structs import replace

from clock import HandClock
from factories import MORNING_MS, body
from receiver import Receiver
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.arming import arm
from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import EventName, OnEvent, OnEvents, T
from scheduler_svc.domain.ids import instant_at, job_id
from scheduler_svc.domain.jobs import Alerts, Definition, Job
from scheduler_svc.domain.occurrences import fire_at
from scheduler_svc.engine import aftermath, dispatch, pace, settle, upkeep
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.engine.hand import Hand, HeldRun
from scheduler_svc.engine.jobs import KnownJobs
from scheduler_svc.engine.lease import Lease
from scheduler_svc.engine.pace import Pace
from scheduler_svc.engine.parts import Limits, Parts
from scheduler_svc.engine.pressure import Pressure, PressureRules
from scheduler_svc.engine.secrets import KnownSecrets, Source
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.engine.upkeep import Heart
from scheduler_svc.store import jobs
from scheduler_svc.store.jobs import TimerState
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.replicas import Identity
from sealing import PUBLIC_URL, RING, sealed_target

LEASE_SECONDS = 15.0
ALL_SLOTS = PressureRules(share=1.0)
"""One key may have every slot, so that a test of slots needs no second host."""
CALLBACKS = Callbacks(url="http://127.0.0.1:8080", keys=(b"k" * 32,))
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000


@dataclass
class Rig:
    """One replica whose loops do not run: a test makes each of their steps."""

    parts: Parts
    clock: HandClock
    outbox: Outbox
    pace: Pace
    heart: Heart
    receiver: Receiver
    events: list[tuple[EventName, dict[str, Any]]]
    chance: "Chance"
    jobs_made: int = field(default=0)
    namespace_alerts: dict[str, Alerts] = field(default_factory=dict)

    async def job(
        self,
        *,
        at_ms: int | None = None,
        created_ms: int | None = None,
        runs_made: int = 0,
        namespace: str = "default",
        **changes: Any,
    ) -> UUID:
        """Store a job whose timer stands at its next occurrence, or at the one given."""
        created = self.clock.ms if created_ms is None else created_ms
        self.jobs_made += 1
        new_id = job_id(created, self.jobs_made.to_bytes(2, "big") + uuid4().bytes[:8])
        target = {"url": self.receiver.url("/"), **changes.pop("target", {})}
        given = msgspec.json.encode(body(target=target, **changes))
        read = msgspec.json.decode(given, type=Definition)
        made = msgspec.structs.replace(read, target=sealed_target(new_id, read.target))
        new = Job(
            id=new_id,
            namespace=namespace,
            definition=made,
            state="active",
            pause=None,
            revision=1,
            created_at=instant_at(created),
            updated_at=instant_at(created),
            next_fire_at=None,
        )
        async with transaction(self.parts.pool) as conn:
            await jobs.insert_job(conn, new, _armed(new, made, at_ms, created, runs_made))
            if runs_made:
                await conn.execute("UPDATE job_timers SET runs_made = $1", runs_made)
        return new.id

    async def known(self, job_id: UUID) -> PlannedJob:
        """Return a job as it is now, compiled."""
        async with transaction(self.parts.pool) as conn:
            found = await aftermath.known_jobs(self.parts, conn, [job_id])
        return found[job_id].plan

    async def tick(self) -> float:
        """Make one pass and return the seconds to the next.

        Who signs is read as the first attempt of a minute does, or each here would be that first
        one, which takes the longer way.
        """
        seconds = await pace.one_pass(self.parts, self.pace)
        await self.parts.secrets.signers("default")
        return seconds

    async def send(self) -> None:
        """Send what is due now, wait for the answers, and settle them."""
        async with attempts(self.parts) as tasks:
            dispatch.start_due(self.parts, self.outbox, tasks)
        await self.settle()

    @asynccontextmanager
    async def sending(self, requests: int = 1) -> AsyncIterator[None]:
        """Have so many requests at the receiver during the block; settle their ends after it."""
        seen = len(self.receiver.requests)
        async with attempts(self.parts) as tasks:
            dispatch.start_due(self.parts, self.outbox, tasks)
            await self.receiver.wait_for(seen + requests)
            yield
        await self.settle()

    async def settle(self) -> None:
        """Settle all that has ended."""
        while self.outbox.ended:
            await settle.flush(self.parts, self.outbox)

    async def work(self) -> None:
        """Claim, send, settle."""
        await self.tick()
        await self.send()

    async def beat(self) -> None:
        """Say that this replica is alive."""
        await upkeep.beat(self.parts, self.heart, self.clock, self.outbox)

    async def pass_time(self, ms: int) -> None:
        """Let time pass with the lease kept."""
        self.clock.move(ms)
        self.parts.lease.renewed(self.clock.monotonic())

    def held(self) -> list[HeldRun]:
        """Return the runs in this replica's hand."""
        found = (self.parts.hand.get(run_id) for run_id in self.parts.hand.ids())
        return [held for held in found if held is not None]

    def told(self, name: EventName) -> list[dict[str, Any]]:
        """Return the fields of the events of a name."""
        return [fields for event, fields in self.events if event == name]

    async def runs(self, of: UUID | None = None) -> list[Record]:
        """Return the ledger, oldest occurrence first."""
        rows: list[Record] = await self.parts.pool.fetch(
            "SELECT * FROM runs WHERE $1::uuid IS NULL OR job_id = $1 ORDER BY scheduled_for, id",
            of,
        )
        return rows

    async def run(self, of: UUID | None = None) -> Record:
        """Return the only run."""
        (row,) = await self.runs(of)
        return row

    async def said(self, of: UUID | None = None) -> list[tuple[str, str | None]]:
        """Return status and reason of each run, oldest occurrence first."""
        return [(row["status"], row["reason"]) for row in await self.runs(of)]

    async def timer(self, of: UUID) -> Record:
        row = await self.parts.pool.fetchrow("SELECT * FROM job_timers WHERE job_id = $1", of)
        assert row is not None
        return row

    async def state(self, of: UUID) -> str:
        state: str = await self.parts.pool.fetchval("SELECT state FROM jobs WHERE id = $1", of)
        return state


@dataclass
class Chance:
    """What `rand` gives: nothing is left to it."""

    value: float = 0.0

    def __call__(self) -> float:
        return self.value


@asynccontextmanager
async def attempts(*replicas: Parts) -> AsyncIterator[asyncio.TaskGroup]:
    """Lend a group for attempts to begin in; the block ends when all of them have ended."""
    async with asyncio.TaskGroup() as tasks:
        yield tasks
        begun = [held.task for parts in replicas for held in parts.hand.sending()]
        for task in begun:
            # They are told of their end, and nobody can wait for that.
            while task is not None and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


def _armed(
    new: Job, made: Definition, at_ms: int | None, created: int, runs_made: int
) -> TimerState:
    plan = plan_job(new.id, new.namespace, 1, made, new.created_at)
    if at_ms is not None:
        return TimerState(instant_at(at_ms), instant_at(fire_at(plan.timetable, at_ms)))
    armed = arm(plan, after_ms=created, runs_made=runs_made)
    assert armed is not None
    return TimerState(instant_at(armed.scheduled_ms), instant_at(armed.fire_ms))


@asynccontextmanager
async def rigged(
    pool: Pool,
    receiver: Receiver,
    *,
    clock: HandClock | None = None,
    slots: int = 100,
    pressure: PressureRules = ALL_SLOTS,
    callbacks: Callbacks = CALLBACKS,
    **limits: Any,
) -> AsyncIterator[Rig]:
    """Build one replica by the pieces, with a lease that has just been renewed."""
    clock = clock or HandClock(MORNING_MS)
    sender = Sender(egress=EgressRules.parse(allow=("127.0.0.0/8",), own=[]))
    events: list[tuple[EventName, dict[str, Any]]] = []
    chance = Chance()

    def hear(name: EventName, /, **fields: object) -> None:
        events.append((name, fields))

    def hear_all(name: EventName, told: Sequence[T], fields: Callable[[T], dict[str, Any]]) -> None:
        events.extend((name, fields(one)) for one in told)

    heard = hear, hear_all
    parts = _parts(pool, clock, sender, slots, Limits(**limits), heard, chance, pressure)
    shared: dict[str, Alerts] = {}
    parts = replace(parts, callbacks=callbacks, namespace_alerts=shared.get)
    rig = Rig(
        parts=parts,
        clock=clock,
        outbox=Outbox(parts),
        pace=Pace(),
        heart=Heart(who=_who(parts.replica, slots), seconds=3.0),
        receiver=receiver,
        events=events,
        chance=chance,
        namespace_alerts=shared,
    )
    await rig.beat()
    try:
        yield rig
    finally:
        await sender.close()


def _parts(
    pool: Pool,
    clock: HandClock,
    sender: Sender,
    slots: int,
    limits: Limits,
    heard: tuple[OnEvent, OnEvents],
    chance: Chance,
    pressure: PressureRules,
) -> Parts:
    return Parts(
        replica=uuid4(),
        pool=pool,
        clock=clock,
        lease=Lease(clock, seconds=LEASE_SECONDS),
        hand=Hand(slots),
        pressure=Pressure(pressure),
        jobs=KnownJobs(version="0", ring=RING, public_url=PUBLIC_URL),
        secrets=KnownSecrets(
            Source(
                pool=pool,
                ring=RING,
                now_ms=clock.now_ms,
                monotonic=clock.monotonic,
                public_url=PUBLIC_URL,
            )
        ),
        sender=sender,
        limits=limits,
        on_event=heard[0],
        on_events=heard[1],
        rand=chance,
        random_bytes=os.urandom,
        to_claim=Alarm(),
        to_send=Alarm(),
        to_settle=Alarm(),
    )


def _who(replica: UUID, slots: int) -> Identity:
    return Identity(
        id=replica, host="here", pid=1, version="0", tzdata="0", role="all", slots=slots
    )
