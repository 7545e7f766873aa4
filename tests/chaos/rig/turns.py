"""Further acts: of primaries that come back, of hours that pass, of builds and zone data."""

import asyncio
from contextlib import suppress

import asyncpg
import httpx2

from chaos.rig import builds, zones
from chaos.rig.plan import Step
from chaos.rig.steps import ACTS, begun, db_clock, over
from chaos.rig.world import World
from commands import call

BACK_LOOKS_SECONDS = 0.2


async def fall_behind(world: World, step: Step) -> None:
    """Let the standby receive nothing from now on: what is committed from here on is the tail that
    goes with the primary.
    """
    assert world.standby is not None
    begun(world, "tail")
    conn = await asyncpg.connect(world.standby.dsn, timeout=10)
    try:
        await conn.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await conn.execute("SELECT pg_reload_conf()")
        deadline = asyncio.get_running_loop().time() + 30
        while await conn.fetchval("SELECT count(*) FROM pg_stat_wal_receiver"):
            assert asyncio.get_running_loop().time() < deadline, "it follows still"
            await asyncio.sleep(0.02)  # the state of another process
    finally:
        await conn.close()


async def come_back(world: World, step: Step) -> None:
    """Start the former primary at its old address, fenced or as it was, for so many seconds; note
    who came to it, and whether anybody wrote.
    """
    former = world.former
    assert former is not None
    if step.how.get("fenced", True):
        former.options = dict(former.options) | {"default_transaction_read_only": "on"}
    if not step.how.get("fenced", True):
        begun(world, "former")  # nobody is served at the address that is asked first
    await former.start()
    conn = await asyncpg.connect(former.dsn, timeout=10)
    try:
        await conn.execute("SET application_name = 'driver'")
        before = await conn.fetchval(WRITTEN)
        loop = asyncio.get_running_loop()
        until = loop.time() + step.how["seconds"]
        while loop.time() < until:
            for row in await conn.fetch(GUESTS):
                world.notes.write("guest", pid=row["pid"], age_ms=float(row["age_ms"]))
            await asyncio.sleep(BACK_LOOKS_SECONDS)
        await asyncio.sleep(1.5)  # what a session did is counted by then
        written = await conn.fetchval(WRITTEN) - before
        world.notes.write("former", state="gone", written=written)
    finally:
        conn.terminate()
        await asyncio.to_thread(former.end)
        over(world, "former")


async def disconnect(world: World, step: Step) -> None:
    """End all sessions of the replicas at the primary, so that they look for one anew."""
    begun(world, "reset")
    conn = await asyncpg.connect(world.primary.dsn, timeout=10)
    try:
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name LIKE 'scheduler%'"
        )
    finally:
        await conn.close()
    over(world, "reset")


async def hours_pass(world: World, step: Step) -> None:
    """End all replicas, let the database's clock go on by hours, and start them again."""
    begun(world, "down")
    await asyncio.gather(*(one.term() for one in world.fleet))
    await db_clock(world, step)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(one.start() for one in world.fleet))
    world.notes.write("up", seconds=loop.time() - began)
    over(world, "down")


async def upgrade(world: World, step: Step) -> None:
    """Bring the schema to this build, while replicas of the one before are at work."""
    await builds.migrated(world.primary.dsn, {})


async def renew(world: World, step: Step) -> None:
    """Let one leave and come again, of this build."""
    world.replica(step.on).environment.clear()
    await ACTS["term"](world, step)


async def rezone(world: World, step: Step) -> None:
    """Let one leave, and come again with other zone data; note where it would not."""
    one = world.replica(step.on)
    moved = bool(step.how["moved"])
    one.environment |= zones.laid_over(world.folder / f"zones-{moved}", moved=moved)
    if one.alive:
        await one.term()
    try:
        await one.start()
    except AssertionError:
        said = "" if one.running is None else one.running.output
        world.notes.write("zone refusal", replica=step.on, told="would move" in said)


async def ask_zones(world: World, step: Step) -> None:
    """Note which zone data each replica says it has, and what the doctor says of that."""
    async with httpx2.AsyncClient(timeout=10) as http:
        for one in world.fleet:
            with suppress(httpx2.HTTPError):
                said = (await http.get(one.url("/readyz"))).json()
                world.notes.write("zones", replica=one.name, tzdata=said["versions"]["tzdata"])
    _, told = await call("doctor", env={"DATABASE_URL": world.primary.dsn})
    mixed = zones.OTHER_VERSION in told and "time zone data of several versions" in told
    world.notes.write("doctor", mixed=mixed)


WRITTEN = """
    SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables
"""
GUESTS = """
    SELECT pid, extract(epoch FROM clock_timestamp() - backend_start) * 1000 AS age_ms
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'driver'
"""
ACTS |= {
    one.__name__: one
    for one in (
        fall_behind,
        come_back,
        disconnect,
        hours_pass,
        upgrade,
        renew,
        rezone,
        ask_zones,
    )
}
ALL_ACTS = ACTS
