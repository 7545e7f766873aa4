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
from chaos.rig.loading import load, meddled, pages
from chaos.rig.notes import now_ms
from chaos.rig.plan import Scenario
from chaos.rig.steps import carry_out
from chaos.rig.world import World, a_world

QUIET_SECONDS = 2.0
ENDS_SECONDS = 90.0


async def played(scenario: Scenario, folder: Path, seed: int) -> Path:
    """Play a scenario and leave what is known of it in a folder."""
    draw = Random(seed)
    steps = list(scenario.steps(draw))
    folder.mkdir(parents=True)
    folder.chmod(0o711)
    async with a_world(scenario, folder, seed) as world, httpx2.AsyncClient(timeout=10) as http:
        world.notes.write("scenario", name=scenario.name, seed=seed, seconds=scenario.seconds)
        beside = [
            asyncio.create_task(callers.read_clock(world)),
            asyncio.create_task(callers.know_replicas(world, http)),
            asyncio.create_task(callers.sample_runs(world, http)),
            asyncio.create_task(callers.measure(world)),
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
            await carry_out(world, steps, began)
            await asyncio.sleep(max(0.0, began + scenario.seconds + QUIET_SECONDS - _now()))
            if scenario.meddles:
                await _stopped(beside.pop())
            await _all_ended(world, http)
        finally:
            for task in beside:
                task.cancel()
            for task in beside:
                await _stopped(task)
        await _export(world, http)
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


async def _all_ended(world: World, http: httpx2.AsyncClient) -> None:
    """Wait until no one-shot is unfinished, for so long; the judge says what is missing then."""
    deadline = time.monotonic() + ENDS_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx2.HTTPError, AssertionError, StopIteration):
            one = next(each for each in world.fleet if each.alive)
            before = {"until": _stamp(await _database_now(world) - 3.5), "limit": "1"}
            open_runs = [
                run
                for status in ("due", "running")
                async for run in pages(http, one.url("/runs"), before | {"status": status})
            ]
            if not open_runs:
                return
        await asyncio.sleep(0.5)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def _export(world: World, http: httpx2.AsyncClient) -> None:
    """Write down what the API says, and what the receiver has by then."""
    read_at = now_ms()
    (world.folder / "calls.log").write_bytes(world.receiver.log.read_bytes())
    one = next(each for each in world.fleet if each.alive)
    runs = [run async for run in pages(http, one.url("/runs"), {"limit": "500"})]
    jobs = [job async for job in pages(http, one.url("/jobs"), {"limit": "500"})]
    (world.folder / "runs.json").write_text(json.dumps(runs))
    kept = [{"id": job["id"], "name": job["name"]} for job in jobs]
    (world.folder / "jobs.json").write_text(json.dumps(kept))
    world.notes.write("read", read=read_at)
