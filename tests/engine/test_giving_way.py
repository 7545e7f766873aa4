"""Reading many jobs that a replica does not know keeps nothing waiting whose instant has come."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rig import HOUR, Rig
from scheduler_svc.engine import behind, locked_timers
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.tick import Scan
from scheduler_svc.store.timers import Mark, StoredJob

MANY = 4 * locked_timers.LEARNT_IN_A_ROW


@contextmanager
def counted_turns(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect in which turn of the loop each job is learnt."""
    loop, turns, found = asyncio.get_running_loop(), 0, list[int]()
    coming: asyncio.Handle
    learn = rig.parts.jobs.learn

    def turn() -> None:
        nonlocal turns, coming
        turns += 1
        coming = loop.call_soon(turn)

    def learnt(stored: StoredJob) -> KnownJob:
        found.append(turns)
        return learn(stored)

    monkeypatch.setattr(rig.parts.jobs, "learn", learnt)
    coming = loop.call_soon(turn)
    yield found
    coming.cancel()


async def _with_one_held(rig: Rig) -> None:
    await rig.job(schedule={"every": "1h"})
    await rig.pass_time(HOUR - 900)
    await rig.tick()
    assert len(rig.held()) == 1
    for _ in range(MANY):
        await rig.job(schedule={"every": "1s"})


async def test_what_is_due_leaves_between_jobs_that_are_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _with_one_held(rig)
    await rig.pass_time(900)
    with counted_turns(rig, monkeypatch) as found:
        await rig.tick()
    assert len(found) == MANY
    assert len(set(found)) == MANY // locked_timers.LEARNT_IN_A_ROW + 1


async def test_so_it_does_while_a_look_reads_past_a_crowd(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _with_one_held(rig)
    await rig.pass_time(900)
    before = Scan([], frozenset(), [], None, Mark(), full=True)
    with counted_turns(rig, monkeypatch) as found:
        await behind.look_past(rig.parts, before, room=1)
    assert len(found) == MANY
    assert len(set(found)) == MANY // locked_timers.LEARNT_IN_A_ROW


async def test_while_nothing_is_due_they_are_read_in_one_go(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _with_one_held(rig)
    with counted_turns(rig, monkeypatch) as found:
        await rig.tick()
    assert len(found) == MANY
    assert len(set(found)) == 1
