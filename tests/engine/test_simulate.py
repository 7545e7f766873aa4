"""A simulation says what the engine does: both live through the same day, and their runs compared.

The engine is the real one: its passes, the store, calls that leave by a socket, settles. Only its
clock is moved by hand, and each answer comes when the job's duration is over by that clock.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from asyncpg import Record

from receiver import OK, Received, Wire
from rig import MINUTE, SECOND, Rig
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.simulate import Happening, SimulatedJob, Span, simulate
from scheduler_svc.engine import dispatch
from scheduler_svc.engine.hand import HeldRun

NEVER = 2**62

BERLIN = {"timezone": "Europe/Berlin"}
BEGIN = round(datetime.fromisoformat("2026-10-24T14:00:00+00:00").timestamp() * 1000)
END = BEGIN + 20 * 60 * MINUTE
AWAY: Span = (BEGIN + 14 * 60 * MINUTE, BEGIN + 15 * 60 * MINUTE + 7 * MINUTE)
"""The clock in Berlin goes back at 01:00 UTC, eleven hours after the beginning."""
JOBS: dict[str, tuple[int, dict[str, Any]]] = {
    "fixed": (MINUTE, {"schedule": {"cron": "30 2 * * *", **BERLIN}}),
    "wild": (MINUTE, {"schedule": {"cron": "*/40 1-3 * * *", **BERLIN}}),
    "both": (MINUTE, {"schedule": {"cron": "15 2 * * *", "dst_overlap": "both", **BERLIN}}),
    "skipping": (50 * MINUTE, {"schedule": {"every": "40m"}, "overlap": "skip"}),
    "queueing": (50 * MINUTE, {"schedule": {"every": "40m"}, "overlap": "queue"}),
    "cancelling": (50 * MINUTE, {"schedule": {"every": "40m"}, "overlap": "cancel"}),
    "allowing": (100 * MINUTE, {"schedule": {"every": "40m"}, "overlap": "allow"}),
    "all": (3 * MINUTE, {"schedule": {"every": "25m"}, "misfire": {"policy": "all"}}),
    "all at once": (
        30 * MINUTE,
        {"schedule": {"every": "20m"}, "misfire": {"policy": "all"}, "overlap": "allow"},
    ),
    "once": (MINUTE, {"schedule": {"cron": "7,21 * * * *"}, "misfire": {"grace": "0s"}}),
    "skips": (MINUTE, {"schedule": {"every": "31m"}, "misfire": {"policy": "skip"}}),
    "late": (
        MINUTE,
        {"schedule": {"every": "16m"}, "misfire": {"policy": "all", "max_lateness": "30m"}},
    ),
    "spread": (MINUTE, {"schedule": {"cron": "0 */2 * * *", "spread": "90m"}}),
    "few": (MINUTE, {"schedule": {"every": "2h", "max_runs": 3}}),
    "twice": (MINUTE, {"schedule": {"at": ["2026-10-24T15:00:00Z", "2026-10-25T04:30:00Z"]}}),
}


class Became(NamedTuple):
    """What became of an occurrence, or of a range of them, and when it was sent."""

    scheduled_ms: int
    trigger: str
    status: str
    reason: str | None
    occurrences: int
    sent_ms: int | None


class Answers:
    """Answers each call when the duration of its job is over by the hand-held clock."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.durations: dict[UUID, int] = {}
        self.gates: dict[UUID, asyncio.Event] = {}
        self.ends: dict[UUID, int] = {}

    async def __call__(self, wire: Wire, received: Received) -> None:
        run, job = (UUID(received.headers[name]) for name in ("webhook-id", "scheduler-job"))
        gate = self.gates[run] = asyncio.Event()
        self.ends[run] = self.rig.clock.ms + self.durations[job]
        await gate.wait()
        await wire.send(OK)

    def open(self, run: UUID) -> None:
        del self.ends[run]
        self.gates[run].set()


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not met():  # noqa: ASYNC110 - what is waited for is in many hands
            await asyncio.sleep(0.001)


async def the_engine(rig: Rig, answers: Answers) -> None:
    """Let the engine live through the time, from one thing that happens to the next."""
    async with asyncio.TaskGroup() as tasks:
        while (at := await _coming(rig, answers)) < END:
            at = AWAY[1] if AWAY[0] <= at < AWAY[1] else at
            await rig.pass_time(max(0, at - rig.clock.ms))
            await _end(rig, answers, rig.clock.ms)
            await rig.tick()
            await rig.beat()  # tells of what is to be cancelled
            await until(lambda: all(map(_is_over, rig.held())))
            await rig.settle()
            dispatch.start_due(rig.parts, rig.outbox, tasks)
            sending = {one.claim.id for one in rig.held() if one.sending}
            await until(partial(sending.issubset, answers.gates))
            answers.ends = {run: at for run, at in answers.ends.items() if run in rig.parts.hand}
        await _end(rig, answers, NEVER)


def _is_over(held: HeldRun) -> bool:
    """Tell of a run that was cancelled whether it has ended."""
    return not held.cancelled or held.task is None or held.task.done()


async def _coming(rig: Rig, answers: Answers) -> int:
    work = await rig.parts.pool.fetchval(
        "SELECT least((SELECT min(fire_at) FROM job_timers),"
        " (SELECT min(next_attempt_at) FROM runs WHERE status = 'due' AND NOT queued))"
    )
    held = rig.parts.hand.next_fire_ms
    found = [*answers.ends.values(), END if work is None else epoch_ms(work)]
    return min(found if held is None else [*found, held])


async def _end(rig: Rig, answers: Answers, now_ms: int) -> None:
    """Answer what is over by now, and settle it."""
    over = [run for run, at in answers.ends.items() if at <= now_ms]
    for run in over:
        answers.open(run)
    await until(lambda: len(rig.outbox.ended) == len(over))
    await rig.settle()


def of_simulation(found: Sequence[Happening]) -> dict[UUID, Became]:
    """Return what became of each run at last."""
    became: dict[UUID, Became] = {}
    for one in found:
        run = one.run
        before = became.get(run.id)
        if one.what == "ended":
            continue
        became[run.id] = Became(
            run.scheduled_ms,
            run.trigger,
            one.what,
            run.reason,
            run.occurrences,
            one.at_ms if one.what == "sent" else before and before.sent_ms,
        )
    return became


def is_near(told: Became, lived: Became) -> bool:
    """Tell whether a run went out when it was told; what is caught up the engine holds back."""
    if told.sent_ms is None or lived.sent_ms is None:
        return told.sent_ms == lived.sent_ms
    return 0 <= lived.sent_ms - told.sent_ms <= (SECOND if lived.trigger == "catch_up" else 0)


def of_ledger(rows: Sequence[Record]) -> dict[UUID, Became]:
    words = {"succeeded": "sent", "due": "queued"}
    return {
        row["id"]: Became(
            epoch_ms(row["scheduled_for"]),
            row["trigger"],
            words.get(row["status"], row["status"]),
            row["reason"] if row["status"] == "skipped" else None,
            row["occurrences"],
            None if row["started_at"] is None else epoch_ms(row["started_at"]),
        )
        for row in rows
    }


@pytest.mark.timeout(180)
async def test_a_simulation_makes_the_runs_of_the_engine_over_an_outage_and_a_clock_change(
    rig: Rig,
) -> None:
    answers = Answers(rig)
    rig.receiver.on("/", answers)
    rig.clock.ms = BEGIN
    rig.parts.lease.renewed(rig.clock.monotonic())
    simulated: list[SimulatedJob] = []
    names: dict[UUID, str] = {}
    for name, (duration, changes) in JOBS.items():
        job_id = await rig.job(target={"timeout": "30m"}, **changes)
        answers.durations[job_id], names[job_id] = duration, name
        simulated.append(SimulatedJob(await rig.known(job_id), duration))
    await the_engine(rig, answers)
    by_job: dict[str, list[Happening]] = defaultdict(list)
    for one in simulate(simulated, from_ms=BEGIN + 1, to_ms=END, outages=[AWAY]):
        by_job[names[simulated[one.job].plan.id]].append(one)
    seen: set[tuple[str, str, str | None]] = set()
    for job_id, name in names.items():
        lived = of_ledger(await rig.runs(job_id))
        told = of_simulation(by_job[name])
        assert told.keys() == lived.keys(), name
        for run, row in lived.items():
            assert told[run]._replace(sent_ms=row.sent_ms) == row, name
            assert is_near(told[run], row), (name, told[run], row)
        seen |= {(one.trigger, one.status, one.reason) for one in lived.values()}
    assert {reason for _, _, reason in seen} == {
        *(None, "overlap", "merged", "misfire", "too_late"),
    }
    assert {("catch_up", "sent", None), ("schedule", "cancelled", None)} <= seen
    fixed = [one.at_ms for one in by_job["fixed"] if one.what == "sent"]
    both = [one.at_ms for one in by_job["both"] if one.what == "sent"]
    assert (len(fixed), len(both)) == (1, 2)
