"""Weeks in the life of a service under a hand-held clock: its API, its store, two replicas.

Nothing is stood in for: requests go through the application, passes, settles and rescues are the
engine's, rows are PostgreSQL's, calls leave by a socket. Only the loops are driven from here, so
that weeks take a moment. It judges nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2
from msgspec import structs

from clock import HandClock
from domain.lives import a_schedule, stamp
from domain.simulation import DAY, HOUR, LOOKAHEAD, NEVER, SECOND, Epoch, Span
from receiver import Behaviour, Received, Receiver, Wire, answer
from rig import Rig, rigged
from scheduler_svc.api.app import build_app
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.engine import hear, upkeep
from scheduler_svc.store import notices
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend

RETRY = {"max_attempts": 3, "initial_delay": "40m", "jitter": "none", "multiplier": 1}
NEXT = """
    SELECT least(
        (SELECT min(fire_at) FROM job_timers),
        ( -- what an open breaker keeps back goes when it may be tried again
            SELECT min(greatest(r.next_attempt_at, k.retry_at))
            FROM runs AS r LEFT JOIN concurrency_keys AS k
                ON k.namespace = r.namespace AND k.key = '127.0.0.1' AND k.breaker = 'open'
            WHERE r.status = 'due' AND NOT r.queued
        )
    ) AS work,
    (
        SELECT min(p.lease_until) FROM replicas AS p
        WHERE NOT p.id = ANY ($1::uuid[])
            AND EXISTS (SELECT 1 FROM runs WHERE replica = p.id AND status = 'running')
    ) AS lease
"""


@dataclass
class Watched:
    """One job: what it was asked to be, and when, and what was done to it."""

    name: str
    kind: str
    rule: dict[str, Any]
    epochs: list[Epoch]
    pauses: list[Span] = field(default_factory=list)


@dataclass
class World:
    """The clock, the API, the replicas, and the jobs that are watched."""

    pool: Pool
    dsn: str
    clock: HandClock
    receiver: Receiver
    http: httpx2.AsyncClient
    draw: Random
    outages: list[Span]
    begin: int
    end: int
    tasks: asyncio.TaskGroup
    jobs: list[Watched] = field(default_factory=list)
    replicas: list[tuple[Rig, AsyncExitStack, "asyncio.Task[None]"]] = field(default_factory=list)
    steps: int = 0

    async def start(self) -> None:
        """Start a replica: it knows nothing but what is stored."""
        stack = AsyncExitStack()
        rig = await stack.enter_async_context(rigged(self.pool, self.receiver, clock=self.clock))
        heard = hear.hearer(rig.parts, rig.pace, rig.outbox, self.tasks)
        ready = asyncio.Event()

        def on_notice(word: str, argument: str) -> None:
            ready.set()  # the first is said once it listens
            heard(word, argument)

        listening = notices.listen(self.dsn, on_notice, application_name="simulation")
        task = self.tasks.create_task(listening)
        await ready.wait()
        self.replicas.append((rig, stack, task))

    async def kill(self, number: int = 0) -> None:
        """Let a replica vanish with all that it holds."""
        _, stack, task = self.replicas.pop(number)
        task.cancel()
        await stack.aclose()

    async def add(self, kind: str, number: int) -> None:
        """Create a job of a kind by the API; what can never occur is drawn anew."""
        now, draw = self.clock.ms, self.draw
        rule = {
            "misfire": {
                "policy": draw.choice(["once", "skip", "all"]),
                "grace": draw.choice(["0s", "10s", "1m", "2h"]),
                **draw.choice([{}, {"max_lateness": "30m"}, {"max_lateness": "3d"}]),
            },
            "overlap": draw.choice(["skip", "queue", "cancel", "allow"]),
            "retry": RETRY | draw.choice([{}, {"deadline": "5h"}]),
            "target": {"url": self.receiver.url(f"/{draw.choice(['well', 'well', 'ill'])}")},
        }
        spread = number % 5 == 0
        name = f"{kind}-{number}"
        while True:
            schedule = a_schedule(kind, draw, now, begin=self.begin, end=self.end, spread=spread)
            schedule.pop("max_runs", None)
            said = await self.http.post("/jobs", json={"name": name, "schedule": schedule, **rule})
            if said.status_code == 201:
                break
        self.jobs.append(Watched(name, kind, rule, [Epoch(schedule, now, NEVER)]))

    async def step(self, until: int) -> bool:
        """Go to where something happens next, and let a replica work; False where that is later."""
        coming = await self._next()
        if coming > until:
            await self._go(until)
            return False
        # What is deferred to its instant is met again there, and not sooner.
        at = max(coming, self.clock.ms + (coming < self.clock.ms))
        for begin, end in self.outages:
            if begin <= at < end:
                await self._outage(end)
                return True
        await self._go(at)
        self.steps += 1
        rig, _, _ = self.draw.choice(self.replicas)
        await upkeep.rescue(rig.parts)
        await upkeep.free_stranded(rig.parts)
        await rig.tick()
        assert rig.told(EventName.JOB_PARKED) == []
        for each, _, _ in self.replicas:
            await each.send()
        if self.draw.random() < 0.01:
            await self.kill(self.draw.randrange(2))
            await self.start()
        return True

    async def _next(self) -> int:
        row = await self.pool.fetchrow(NEXT, [rig.parts.replica for rig, _, _ in self.replicas])
        assert row is not None
        ahead = self.draw.choice([0, 0, 300, LOOKAHEAD])
        coming = [NEVER if row["work"] is None else epoch_ms(row["work"]) - ahead]
        coming += [NEVER if row["lease"] is None else epoch_ms(row["lease"]) + 1]
        coming += [rig.parts.hand.next_fire_ms or NEVER for rig, _, _ in self.replicas]
        return min(coming)

    async def _go(self, at: int) -> None:
        self.clock.ms = max(self.clock.ms, at)
        for rig, _, _ in self.replicas:
            rig.parts.lease.renewed(self.clock.monotonic())
            await rig.beat()

    async def _outage(self, end: int) -> None:
        """Nobody is there until then."""
        while self.replicas:
            await self.kill()
        self.clock.ms = max(self.clock.ms, end)
        for _ in range(2):
            await self.start()

    async def until_held(self, until: int) -> Watched | None:
        """Go on until a replica holds what it has not sent; return whose run that is."""
        for _ in range(200):
            if not await self.step(until):
                return None
            rigs = [rig for rig, _, _ in self.replicas]
            for claim in (held.claim for rig in rigs for held in rig.parts.hand.unsent()):
                name = await self.pool.fetchval("SELECT name FROM jobs WHERE id = $1", claim.job_id)
                return next(job for job in self.jobs if job.name == name)
        return None

    async def meddle(self, job: Watched) -> None:
        """Do something to a job, as a user would."""
        path, now = f"/jobs/{job.name}", self.clock.ms
        match self.draw.choice(["pause", "until", "resume", "edit", "trigger", "target"]):
            case "pause" | "until" as verb:
                ends = now + self.draw.randrange(1, 4 * DAY) if verb == "until" else NEVER
                until = {} if ends == NEVER else {"until": stamp(ends)}
                before = await self._state(job)
                (await self.http.post(f"{path}/pause", json=until)).raise_for_status()
                if before != "paused":
                    job.pauses.append((now, ends))
            case "resume":
                if await self._state(job) == "paused":
                    job.pauses[-1] = (job.pauses[-1][0], now)
                missed = self.draw.choice(["skip", "once", "all"])
                (await self.http.post(f"{path}/resume", json={"missed": missed})).raise_for_status()
            case "edit" if job.kind != "at" and "spread" not in job.epochs[-1].schedule:
                await self._edit(job, now)
            case "trigger":
                said = await self.http.post(f"{path}/trigger")
                assert said.status_code in {202, 409}, said.text
            case _:
                changed = {"target": {"url": self.receiver.url("/well")}}
                (await self.http.patch(path, json=changed)).raise_for_status()

    async def _edit(self, job: Watched, now: int) -> None:
        if await self._state(job) == "completed":
            return
        schedule = a_schedule(
            job.kind, self.draw, now, begin=self.begin, end=self.end, spread=False
        )
        schedule.pop("max_runs", None)
        said = await self.http.put(f"/jobs/{job.name}", json={"schedule": schedule, **job.rule})
        if said.status_code == 200:
            job.epochs[-1].until_ms = now
            job.epochs.append(Epoch(schedule, now, NEVER))

    async def _state(self, job: Watched) -> str:
        return str((await self.http.get(f"/jobs/{job.name}")).json()["state"])


@asynccontextmanager
async def a_world(
    pool: Pool, dsn: str, receiver: Receiver, *, seed: int, begin: int, end: int
) -> AsyncIterator[World]:
    """Build a service with two replicas, a receiver of which one path is ill, and no jobs yet."""
    draw = Random(seed)
    clock = HandClock(begin)
    receiver.on("/well", answer(200))
    receiver.on("/ill", _sometimes_ill(seed))
    deps = structs.replace(
        lend(pool, Clock(), Records()), now_ms=clock.now_ms, random_bytes=draw.randbytes
    )
    transport = httpx2.ASGITransport(build_app(deps))
    outages = _outages(draw, begin, end)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http,
        asyncio.TaskGroup() as tasks,
    ):
        world = World(pool, dsn, clock, receiver, http, draw, outages, begin, end, tasks)
        for _ in range(2):
            await world.start()
        yield world
        while world.replicas:
            await world.kill()


def _sometimes_ill(seed: int) -> Behaviour:
    """Answer 503 two times in three, by a lot that each attempt draws for itself."""

    async def behave(wire: Wire, received: Received) -> None:
        run, attempt = received.headers["webhook-id"], received.headers["scheduler-attempt"]
        drawn = Random(f"{seed} {run} {attempt}")
        await answer(drawn.choice([200, 503, 503]))(wire, received)

    return behave


def _outages(draw: Random, begin: int, end: int) -> list[Span]:
    found, at = [], begin
    while (at := at + draw.randrange(HOUR, 6 * DAY)) < end:
        length = draw.choice([20 * SECOND, 61 * SECOND, HOUR, 7 * HOUR, 40 * HOUR])
        found.append((at, min(end, at + draw.randrange(1, length + 1))))
        at = found[-1][1]
    return found
