"""Those who use the service while it is broken: their writes, their looks, and what they were told.

Each of them runs until it is cancelled, lives through every failure, and notes what it saw.
"""

import asyncio
import time
from contextlib import suppress
from random import Random
from typing import Any

import asyncpg
import httpx2
import psutil

from chaos.rig import pulse
from chaos.rig.loading import MEDDLED
from chaos.rig.notes import now_ms
from chaos.rig.world import World

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
NEVER = {"at": "2190-01-01T00:00:00Z"}


async def read_clock(world: World) -> None:
    """Ask the database for its time, again and again, on a line of our own."""
    while True:
        with suppress(*AWAY):
            conn = await asyncpg.connect(world.primary.dsn, timeout=2)
            try:
                while True:
                    await _read_once(world, conn)
                    await asyncio.sleep(0.2)
            finally:
                conn.terminate()
        await asyncio.sleep(0.2)


async def _read_once(world: World, conn: "asyncpg.Connection[Any]") -> None:
    async with asyncio.timeout(2):
        asked = now_ms()
        now = await conn.fetchval("SELECT clock_timestamp()")
        answered = now_ms()
    world.notes.write("clock", asked=asked, answered=answered, database=now.timestamp() * 1000)


async def watch_lives(world: World) -> None:
    """Ask all replicas whether they live; one that the rig has ended is not expected to."""
    fleet = {one.name: one for one in world.fleet}

    def heard(name: str, status: int, took: float, said: str) -> None:
        if status or fleet[name].alive:
            told = {"replica": name, "path": "/healthz", "status": status, "took": took}
            world.notes.write("probe", said=said, **told)

    await pulse.listening({name: one.port for name, one in fleet.items()}, heard)


async def watch_health(world: World, http: httpx2.AsyncClient, number: int) -> None:
    """Ask one replica whether it is ready, and reads."""
    one = world.fleet[number]
    while True:
        for path in ("/readyz", "/jobs?limit=1"):
            if one.alive:
                await _probe(world, http, one.name, one.url(path), path)
        await asyncio.sleep(0.4)


async def _probe(world: World, http: httpx2.AsyncClient, replica: str, url: str, path: str) -> None:
    began = now_ms()
    try:
        answer = await http.get(url, timeout=10)
    except httpx2.HTTPError as error:
        status, said = 0, type(error).__name__
    else:
        status, said = answer.status_code, answer.headers.get("retry-after", "")
    took = now_ms() - began
    world.notes.write("probe", replica=replica, path=path, status=status, took=took, said=said)


async def measure(world: World) -> None:
    """Note what replicas and the database use."""
    while True:
        await asyncio.sleep(5)
        with suppress(*AWAY, psutil.NoSuchProcess):
            alive = [psutil.Process(one.pid) for one in world.fleet if one.alive]
            conn = await asyncpg.connect(world.primary.dsn, timeout=2, command_timeout=2)
            try:
                row = await conn.fetchrow(USED)
            finally:
                conn.terminate()
            assert row is not None
            world.notes.write(
                "used",
                rss=[one.memory_info().rss for one in alive],
                descriptors=[one.num_fds() for one in alive],
                **dict(row),
            )


USED = """
    SELECT
        (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'scheduler%')
            AS connections,
        (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables) AS dead,
        (SELECT count(*) FROM runs WHERE status IN ('due', 'running')) AS unfinished
"""


async def sample_runs(world: World, http: httpx2.AsyncClient) -> None:
    """Look at the newest runs; what has ended must stay as it was."""
    while True:
        await asyncio.sleep(0.5)
        for one in world.fleet:
            if not one.alive:
                continue
            try:
                answer = await http.get(one.url("/runs?limit=100"), timeout=5)
            except httpx2.HTTPError:
                continue
            if answer.status_code == 200:
                for run in answer.json()["items"]:
                    if run["finished_at"]:
                        kept = {k: run[k] for k in ("id", "status", "reason", "finished_at")}
                        world.notes.write("sample", **kept)
                break


async def know_replicas(world: World, http: httpx2.AsyncClient) -> None:
    """Learn which process has which id."""
    while True:
        for one in world.fleet:
            if one.alive:
                try:
                    answer = await http.get(one.url("/replicas"), timeout=5)
                except httpx2.HTTPError:
                    continue
                if answer.status_code == 200:
                    for item in answer.json()["items"]:
                        world.notes.write("replica", id=item["id"], pid=item["pid"])
                    break
        await asyncio.sleep(1.0)


async def write_on(world: World, http: httpx2.AsyncClient, draw: Random) -> None:
    """Make a job that never fires each half second, the same one until it is acknowledged."""
    for number in range(10**6):
        key = f"write-{number}"
        target = {"url": world.receiver.url(f"/wait/0/{key}")}
        body = {"name": key, "schedule": NEVER, "target": target}
        while True:
            one = draw.choice(world.fleet)
            if one.alive:
                answer = await _post(http, one.url("/jobs"), body, key)
                if answer is not None and answer.status_code in {200, 201}:
                    made = answer.json()["id"]
                    world.notes.write("written", name=key, id=made, schedule=NEVER, target=target)
                    break
                status = None if answer is None else answer.status_code
                world.notes.write("refused", name=key, status=status)
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)


async def _post(
    http: httpx2.AsyncClient, url: str, body: dict[str, Any], key: str
) -> httpx2.Response | None:
    try:
        return await http.post(url, json=body, headers={"Idempotency-Key": key}, timeout=10)
    except httpx2.HTTPError:
        return None


async def meddle(world: World, http: httpx2.AsyncClient, draw: Random, jobs: int) -> None:
    """Edit, pause, resume and trigger jobs of one's own, one after another."""
    mine = [f"{MEDDLED}-{number}" for number in range(jobs)]
    edits = 0
    while True:
        name, verb = draw.choice(mine), draw.choice(["edit", "pause", "resume", "trigger", "edit"])
        one = draw.choice([each for each in world.fleet if each.alive] or world.fleet)
        edits += verb == "edit"
        path = f"/wait/5/{edits}"
        sent = now_ms()
        status, said = None, None
        try:
            if verb == "edit":
                target = {"target": {"url": world.receiver.url(path)}}
                answer = await http.patch(one.url(f"/jobs/{name}"), json=target, timeout=10)
            else:
                answer = await http.post(one.url(f"/jobs/{name}/{verb}"), timeout=10)
            status, said = answer.status_code, answer.json()
        except httpx2.HTTPError:
            pass  # nobody knows whether it holds
        finally:  # what is under way at the end may hold too
            world.notes.write(
                "call",
                verb=verb,
                name=name,
                sent=sent,
                acked=None if status is None else now_ms(),
                status=status,
                path=path if verb == "edit" else None,
                run=said["id"] if verb == "trigger" and status == 202 and said else None,
            )
        if status is None or status >= 500:
            await resolve(world, http, name)
        await asyncio.sleep(draw.random() * 0.2)


async def resolve(world: World, http: httpx2.AsyncClient, name: str) -> None:
    """After an answer that was lost, wait until the job is as it was asked to be: resumed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for one in world.fleet:
            if not one.alive:
                continue
            sent = now_ms()
            try:
                answer = await http.post(one.url(f"/jobs/{name}/resume"), timeout=10)
            except httpx2.HTTPError:
                continue
            if answer.status_code == 200:
                path = answer.json()["target"]["url"].partition("/wait")[2]
                world.notes.write(
                    "call",
                    verb="resume",
                    name=name,
                    sent=sent,
                    acked=now_ms(),
                    status=200,
                    path=f"/wait{path}",
                    run=None,
                )
                return
        await asyncio.sleep(0.3)
