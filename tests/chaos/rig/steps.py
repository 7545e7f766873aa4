"""What a plan may do to the world, by name; each notes when a fault began and when it was over."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg

from chaos.rig.plan import Step
from chaos.rig.proxy import BOTH
from chaos.rig.world import World

Act = Callable[[World, Step], Awaitable[None]]


def begun(world: World, kind: str, *replicas: str) -> None:
    """Note that a fault began; no replica named: everybody's."""
    world.notes.write("fault", fault=kind, replicas=_pids(world, replicas), names=list(replicas))


def over(world: World, kind: str, *replicas: str) -> None:
    """Note that it is over."""
    world.notes.write("healed", fault=kind, names=list(replicas))


def _pids(world: World, names: tuple[str, ...]) -> list[int]:
    return [world.replica(name).pid for name in names]


async def kill(world: World, step: Step) -> None:
    begun(world, "kill", step.on)
    world.replica(step.on).kill()


async def start(world: World, step: Step) -> None:
    await world.replica(step.on).start()
    over(world, "kill", step.on)


async def term(world: World, step: Step) -> None:
    """Let one leave politely and come again."""
    code = await world.replica(step.on).term()
    world.notes.write("left", replica=step.on, code=code)
    await world.replica(step.on).start()


async def pause(world: World, step: Step) -> None:
    begun(world, "pause", step.on)
    world.replica(step.on).pause()


async def wake(world: World, step: Step) -> None:
    world.replica(step.on).wake()
    over(world, "pause", step.on)


async def cut(world: World, step: Step) -> None:
    """Let nothing pass between a replica and the database, in one direction or both."""
    names = [step.on] if step.on else [one.name for one in world.fleet]
    begun(world, "cut", *([step.on] if step.on else []))
    for name in names:
        await world.replica(name).proxy.set(stalled=frozenset(step.how.get("ways", BOTH)))


async def refuse(world: World, step: Step) -> None:
    """Reset all connections of a replica and take no new ones."""
    begun(world, "cut", step.on)
    proxy = world.replica(step.on).proxy
    await proxy.set(refuses=True)
    proxy.reset()


async def heal(world: World, step: Step) -> None:
    """Let everything pass again; what waited in between does so too, unless it is to be dropped."""
    names = [step.on] if step.on else [one.name for one in world.fleet]
    for name in names:
        proxy = world.replica(name).proxy
        if step.how.get("reset"):
            proxy.reset()
        await proxy.heal()
    over(world, "cut", *([step.on] if step.on else []))


async def spoil(world: World, step: Step) -> None:
    """Make a line slow, sliced or throttled; no fault: everything still has to hold."""
    names = [step.on] if step.on else [one.name for one in world.fleet]
    for name in names:
        await world.replica(name).proxy.set(**step.how)


async def reset(world: World, step: Step) -> None:
    """Reset the connections of all replicas to the database in the middle of whatever they do."""
    begun(world, "reset")
    for one in world.fleet:
        one.proxy.reset()
    over(world, "reset")


async def db_stop(world: World, step: Step) -> None:
    begun(world, "restart")
    number = signal.SIGKILL if step.how.get("hard") else signal.SIGQUIT
    await asyncio.to_thread(world.primary.end, number)


async def db_start(world: World, step: Step) -> None:
    await world.primary.start()
    over(world, "restart")


async def db_freeze(world: World, step: Step) -> None:
    begun(world, "freeze")
    world.primary.freeze()


async def db_thaw(world: World, step: Step) -> None:
    world.primary.thaw()
    over(world, "freeze")


async def promote(world: World, step: Step) -> None:
    """Lose the primary for good, and let the standby take its place and name.

    A dark one is not ended: it takes connections still, and says nothing any more.
    """
    assert world.standby is not None
    begun(world, "promotion")
    if step.how.get("dark"):
        world.primary.freeze()
    else:
        await asyncio.to_thread(world.primary.end, signal.SIGKILL)
    conn = await asyncpg.connect(world.standby.dsn, timeout=10)
    await conn.execute("SELECT pg_promote(true, 60)")
    await conn.close()
    world.former, world.primary, world.standby = world.primary, world.standby, None
    for one in world.fleet:
        if step.how.get("retarget", True):
            one.proxy.retarget(("127.0.0.1", world.primary.port))
    over(world, "promotion")
    over(world, "tail")


async def pause_claiming(world: World, step: Step) -> None:
    """Stop one where it has a transaction open in which timers are locked: that of a claim."""
    one = world.replica(step.on)
    conn = await asyncpg.connect(world.primary.dsn, timeout=10)
    try:
        for _ in range(CATCHES_MAX):
            one.pause()
            ports = [link.far.get_extra_info("sockname")[1] for link in one.proxy.links]
            await asyncio.sleep(0.005)  # what it has sent is answered then
            inside = await conn.fetchval(IN_TRANSACTION, ports)
            if inside and await conn.fetchval(ANY_LOCKED):
                break
            one.wake()
            await asyncio.sleep(0.002)
        else:
            raise AssertionError("it was never caught inside a transaction")
    finally:
        await conn.close()
    begun(world, "pause", step.on)


async def hog(world: World, step: Step) -> None:
    """Take every connection that the server has left, and end those of the replicas."""
    begun(world, "hog")
    with suppress(asyncpg.PostgresError):
        while True:
            world.hogs.append(await asyncpg.connect(world.primary.dsn, timeout=10))
            for one in world.fleet:
                one.proxy.reset()


async def unhog(world: World, step: Step) -> None:
    """Give them back."""
    for conn in world.hogs:
        conn.terminate()
    world.hogs.clear()
    over(world, "hog")


async def read_only(world: World, step: Step) -> None:
    """Let the server refuse every write, as a disk that is full or a standby would."""
    begun(world, "read only")
    await _set(world, "on")


async def writable(world: World, step: Step) -> None:
    await _set(world, "off")
    over(world, "read only")


async def _set(world: World, value: str) -> None:
    conn = await asyncpg.connect(world.primary.dsn, timeout=10)
    try:
        await conn.execute("SET default_transaction_read_only = off")
        await conn.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        await conn.execute("SELECT pg_reload_conf()")
    finally:
        await conn.close()


async def skew(world: World, step: Step) -> None:
    """Set a replica's wall clock; no fault: nothing may come of it."""
    world.replica(step.on).set_clock(step.how["seconds"])
    world.notes.write("skew", replica=step.on, seconds=step.how["seconds"])


async def db_clock(world: World, step: Step) -> None:
    """Step the database's clock, which is the one that decides."""
    begun(world, "clock")
    draft = world.database_clock.with_suffix(".new")
    draft.write_text(f"{step.how['seconds']:+.3f}\n")
    draft.chmod(0o644)
    draft.rename(world.database_clock)
    await asyncio.sleep(step.how.get("over", 5.0))  # until each replica has read it: a heartbeat
    over(world, "clock")


CATCHES_MAX = 5000
IN_TRANSACTION = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND client_port = ANY ($1::integer[])
            AND query LIKE '%job_timers%'
    )
"""
ANY_LOCKED = """
    SELECT EXISTS (
        SELECT FROM job_timers WHERE job_id NOT IN (
            SELECT job_id FROM (SELECT job_id FROM job_timers FOR UPDATE SKIP LOCKED) AS free
        )
    )
"""
"""Nearly all looks find nothing, and hold no timer."""
ACTS: dict[str, Act] = {
    one.__name__: one
    for one in (
        kill,
        start,
        term,
        pause,
        wake,
        cut,
        refuse,
        heal,
        spoil,
        reset,
        db_stop,
        db_start,
        db_freeze,
        db_thaw,
        promote,
        pause_claiming,
        hog,
        unhog,
        read_only,
        writable,
        skew,
        db_clock,
    )
}


HURTS = frozenset({"renew", "rezone", "kill", "pause", "pause_claiming", "cut", "refuse", "term"})
HEALS = frozenset({"renew", "rezone", "start", "wake", "heal", "term"})


async def carry_out(world: World, steps: "list[Step]", began: float) -> None:
    """Do each step at its second; what is done to one place is done in turn.

    Of the replicas one is hurt at a time: where a slow machine takes long to bring one back, the
    next waits for that, and what belongs to it comes as much later.
    """
    places: dict[str, list[Step]] = {}
    for step in sorted(steps, key=lambda one: one.at):
        places.setdefault(step.on, []).append(step)
    hurt = asyncio.Lock()
    async with asyncio.TaskGroup() as tasks:
        for mine in places.values():
            tasks.create_task(_in_turn(world, mine, began, hurt))


async def _in_turn(world: World, steps: "list[Step]", began: float, hurt: asyncio.Lock) -> None:
    loop = asyncio.get_running_loop()
    late = 0.0
    for step in steps:
        await asyncio.sleep(max(0.0, began + step.at + late - loop.time()))
        if step.on and step.act in HURTS:
            await hurt.acquire()
            late = max(late, loop.time() - began - step.at)
        fields: dict[str, Any] = {"ways": sorted(step.how["ways"])} if "ways" in step.how else {}
        world.notes.write("step", act=step.act, on=step.on, how=dict(step.how) | fields)
        await ACTS[step.act](world, step)
        if step.on and step.act in HEALS:
            hurt.release()
