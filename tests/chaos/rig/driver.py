"""One scenario from its beginning to its evidence: load, faults, quiet, records; no judgement."""

import asyncio
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import asyncpg
import httpx2

from chaos.rig import callers
from chaos.rig.loading import CROWD_SECONDS, crowd, in_namespace, load, meddled, pages
from chaos.rig.notes import now_ms
from chaos.rig.plan import Scenario
from chaos.rig.steps import carry_out
from chaos.rig.turns import ALL_ACTS
from chaos.rig.world import World, a_world

QUIET_SECONDS = 2.0
KEPT = ("id", "name", "schedule", "target", "state")
"""What the checker holds against what was acknowledged."""
ENDS_SECONDS = 90.0


async def played(scenario: Scenario, folder: Path, seed: int) -> Path:
    """Play a scenario and leave what is known of it in a folder."""
    draw = Random(seed)
    steps = list(scenario.steps(draw))
    assert ALL_ACTS.keys() >= {one.act for one in steps}, "a step that nobody knows"
    namespaces = ["default", *(name for name, _ in scenario.load.crowds)]
    folder.mkdir(parents=True)
    folder.chmod(0o711)
    async with a_world(scenario, folder, seed) as world, httpx2.AsyncClient(timeout=10) as http:
        world.notes.write("scenario", name=scenario.name, seed=seed, seconds=scenario.seconds)
        beside = [
            asyncio.create_task(callers.read_clock(world)),
            asyncio.create_task(callers.know_replicas(world, http)),
            asyncio.create_task(callers.sample_runs(world, http)),
            asyncio.create_task(callers.measure(world)),
            asyncio.create_task(callers.watch_lives(world)),
            asyncio.create_task(callers.write_on(world, http, draw)),
            *(
                asyncio.create_task(callers.watch_health(world, http, number))
                for number in range(scenario.replicas)
            ),
        ]
        try:
            if scenario.meddles:
                await meddled(world, http, scenario.meddles)
                meddling = callers.meddle(world, http, draw, scenario.meddles)
                beside.append(asyncio.create_task(meddling))
            began = await load(
                world,
                http,
                scenario.load,
                now_s=lambda: _database_now(world),
                seconds=scenario.seconds,
            )
            await crowd(
                world, http, scenario.load, begin=await _database_now(world) + CROWD_SECONDS
            )
            await carry_out(world, steps, began)
            await asyncio.sleep(max(0.0, began + scenario.seconds + QUIET_SECONDS - _now()))
            if scenario.meddles:
                await _stopped(beside.pop())
            await _all_ended(world, http, namespaces)
        finally:
            for task in beside:
                task.cancel()
            for task in beside:
                await _stopped(task)
        await _export(world, http, namespaces)
    return folder


async def _stopped(task: "asyncio.Task[None]") -> None:
    """End a caller; what it raised by itself is a fault of the rig, and is told."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _database_now(world: World) -> float:
    conn = await asyncpg.connect(world.primary.dsn, timeout=10)
    try:
        return float((await conn.fetchval("SELECT clock_timestamp()")).timestamp())
    finally:
        await conn.close()


async def _all_ended(world: World, http: httpx2.AsyncClient, namespaces: list[str]) -> None:
    """Wait until no one-shot is unfinished, for so long; the judge says what is missing then."""
    deadline = time.monotonic() + ENDS_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx2.HTTPError, AssertionError, StopIteration):
            one = next(each for each in world.fleet if each.alive)
            before = {"until": _stamp(await _database_now(world) - 3.5), "limit": "1"}
            open_runs = [
                run
                for status in ("due", "running")
                for name in namespaces
                async for run in pages(
                    http, one.url("/runs"), before | {"status": status}, in_namespace(name)
                )
            ]
            if not open_runs:
                return
        await asyncio.sleep(0.5)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def _export(world: World, http: httpx2.AsyncClient, namespaces: list[str]) -> None:
    """Write down what the API says, and what the receiver has by then."""
    read_at = now_ms()
    (world.folder / "calls.log").write_bytes(world.receiver.log.read_bytes())
    one = next(each for each in world.fleet if each.alive)
    runs, jobs = [], []
    for name in namespaces:
        asked = ({"limit": "500"}, in_namespace(name))
        runs += [run async for run in pages(http, one.url("/runs"), *asked)]
        jobs += [job async for job in pages(http, one.url("/jobs"), *asked)]
    (world.folder / "runs.json").write_text(json.dumps(runs))
    kept = [{name: job[name] for name in KEPT} for job in jobs]
    (world.folder / "jobs.json").write_text(json.dumps(kept))
    world.notes.write("read", read=read_at)
