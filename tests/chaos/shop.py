"""Three replicas in pieces under a hand-held clock, on the real store: each move is one call.

Nothing is stood in for: requests pass through the application, claims, settles, beats and rescues
are the engine's, calls leave by a socket. A replica that is not moved is one that is frozen. It
judges nothing; `evidence` is what the checker judges.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import httpx2
from asyncpg import Record
from msgspec import json, structs

from chaos.checker.evidence import (
    MARGIN_MS,
    Attempt,
    Call,
    Evidence,
    Fault,
    Job,
    Request,
    Run,
    Sample,
)
from clock import HandClock
from factories import MORNING_MS
from receiver import Received, Receiver, Wire, answer
from rig import Rig, attempts, rigged
from scheduler_svc.api.app import build_app
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.engine import dispatch, hear, upkeep
from scheduler_svc.store import notices
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend

POLICIES = ("skip", "queue", "allow", "cancel")
PERIOD_MS = 2000
LOOKAHEAD_MS = 20
"""How long an edit waits, by the real clock, for a holder that was killed."""
RETRY = {"max_attempts": 3, "initial_delay": "1s", "jitter": "none", "multiplier": 1}


@dataclass
class Shop:
    """The clock, the API, three replicas, four jobs, and what came of it all."""

    pool: Pool
    receiver: Receiver
    clock: HandClock
    http: httpx2.AsyncClient
    tasks: asyncio.TaskGroup
    replicas: list[tuple[Rig, AsyncExitStack]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    revisions: int = 0

    async def open(self) -> None:
        """Start three replicas and make a job of each policy."""
        for _ in range(3):
            await self.start()
        for policy in POLICIES:
            answered = await self.http.post(
                "/jobs",
                json={
                    "name": policy,
                    "schedule": {"every": "2s"},
                    "target": {"url": self.receiver.url("/call")},
                    "overlap": policy,
                    "retry": RETRY,
                },
            )
            made = answered.raise_for_status().json()
            self.jobs.append(
                Job(made["id"], policy, made["schedule"], float(self.clock.ms), policy)
            )

    async def start(self) -> None:
        """Start a replica: it knows nothing but what is stored."""
        stack = AsyncExitStack()
        rig = await stack.enter_async_context(
            rigged(self.pool, self.receiver, clock=self.clock, slots=20)
        )
        self.replicas.append((rig, stack))

    async def kill(self, number: int) -> None:
        """Let one vanish with all that it holds, and another come."""
        _, stack = self.replicas.pop(number)
        await stack.aclose()
        await self.start()

    def heard(self, word: str, argument: str) -> None:
        """Tell a notice to every replica, the frozen ones too: they hear it when they wake."""
        for rig, _ in self.replicas:
            hear.hearer(rig.parts, rig.pace, rig.outbox, self.tasks)(word, argument)

    async def rescue(self, number: int) -> None:
        """What the loop of rescues does, where the lease holds."""
        rig, _ = self.replicas[number]
        if rig.parts.lease.held:
            await upkeep.give_back_lapsed(rig.parts, rig.outbox)
            await upkeep.rescue(rig.parts)
            await upkeep.free_stranded(rig.parts)
            await upkeep.give_back_strays(rig.parts)

    async def send(self, number: int) -> None:
        """Make the attempts that are due; what they ended as is settled by another move."""
        rig, _ = self.replicas[number]
        async with attempts(rig.parts) as tasks:
            dispatch.start_due(rig.parts, rig.outbox, tasks)

    async def change(self, policy: str, verb: str) -> None:
        """Do something to a job by the API, as a caller would."""
        job = next(one for one in self.jobs if one.name == policy)
        schedule: dict[str, Any] | None = None
        if verb == "edit":
            self.revisions += 1
            schedule = {"every": f"{2 + self.revisions % 2}s"}
            answered = await self.http.patch(f"/jobs/{policy}", json={"schedule": schedule})
            schedule = answered.json().get("schedule")
        elif verb == "retarget":
            self.revisions += 1
            target = {"target": {"url": self.receiver.url(f"/call?{self.revisions}")}}
            answered = await self.http.patch(f"/jobs/{policy}", json=target)
        else:
            answered = await self.http.post(f"/jobs/{policy}/{verb}")
        assert answered.status_code < 500, answered.text
        run = answered.json()["id"] if answered.status_code == 202 else None
        now = float(self.clock.ms)
        self.calls.append(Call(verb, job.id, now, now, answered.status_code, schedule, None, run))

    def note(self) -> None:
        """Take over what the receiver got since the last look, with the hand-held instant."""
        for one in self.receiver.requests[len(self.requests) :]:
            self.requests.append(_request(one, self.clock.ms))

    async def rows(self) -> list[Record]:
        """Return the whole ledger."""
        rows: list[Record] = await self.pool.fetch("SELECT * FROM runs ORDER BY scheduled_for, id")
        return rows

    async def settle_all(self) -> None:
        """Let everybody live and work until nothing of the past is unfinished."""
        for _ in range(60):
            self.clock.move(1000)
            for number, (rig, _) in enumerate(self.replicas):
                await rig.beat()
                await self.rescue(number)
                await rig.tick()
                await self.send(number)
                await rig.settle()
            self.note()
            open_until = self.clock.ms - MARGIN_MS  # what is younger the checker does not ask for
            rows = await self.rows()
            if all(r["finished_at"] or epoch_ms(r["scheduled_for"]) > open_until for r in rows):
                return
        raise AssertionError("what is of the past does not end")

    def evidence(self, rows: list[Record]) -> Evidence:
        """Say all of it, in the checker's words: anything may have been frozen at any time."""
        faults = [Fault("pause", float(MORNING_MS), float(self.clock.ms))]
        return Evidence(
            jobs=self.jobs,
            runs=[a_run(row) for row in rows],
            requests=list(self.requests),
            read_ms=float(self.clock.ms),
            calls=self.calls,
            faults=faults,
            samples=self.samples,
            lease_ms=float("inf"),
        )


def a_run(row: Record) -> Run:
    """Read a row as the API would tell it."""
    tried = [json.decode(text) for text in row["attempts"]]
    return Run(
        id=str(row["id"]),
        job=str(row["job_id"]),
        trigger=row["trigger"],
        scheduled_ms=epoch_ms(row["scheduled_for"]),
        occurrences=row["occurrences"],
        until_ms=None if row["scheduled_until"] is None else epoch_ms(row["scheduled_until"]),
        status=row["status"],
        reason=row["reason"],
        attempt_count=row["attempt_count"],
        claimed_ms=None,
        finished_ms=None if row["finished_at"] is None else epoch_ms(row["finished_at"]),
        replica=None if row["replica"] is None else str(row["replica"]),
        attempts=[
            Attempt(one["number"], one["outcome"], one.get("status_code"), one["replica"], 0.0)
            for one in tried
        ],
    )


def _request(one: Received, now_ms: int) -> Request:
    said = one.headers
    return Request(
        run=said["webhook-id"],
        job=said["scheduler-job"],
        attempt=int(said["scheduler-attempt"]),
        scheduled_ms=datetime.fromisoformat(said["scheduler-scheduled-for"]).timestamp() * 1000,
        key=said["idempotency-key"],
        path=one.target,
        at_ms=float(now_ms),
        ended_ms=float(now_ms),
        status=503 if ill(said["webhook-id"], int(said["scheduler-attempt"])) else 200,
    )


def ill(run: str, attempt: int) -> bool:
    """Tell whether the receiver refuses an attempt: one in four, by its own lot."""
    return Random(f"{run} {attempt}").random() < 0.25


async def behave(wire: Wire, received: Received) -> None:
    """Answer as `ill` says."""
    refused = ill(received.headers["webhook-id"], int(received.headers["scheduler-attempt"]))
    await answer(503 if refused else 200)(wire, received)


def application(pool: Pool, clock: HandClock) -> httpx2.ASGITransport:
    """The API under the hand-held clock."""
    deps = structs.replace(
        lend(pool, Clock(), Records()), now_ms=clock.now_ms, lookahead_ms=LOOKAHEAD_MS
    )
    return httpx2.ASGITransport(build_app(deps))


async def listening(dsn: str, shop: "Shop") -> None:
    """Hear notices for all replicas, on one connection."""
    await notices.listen(dsn, shop.heard, application_name="state machine")
