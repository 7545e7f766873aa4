"""Namespaces in the engine: judged at each connection, known from memory, told by a notice."""

import asyncio

import pytest
from msgspec import convert

from rig import HOUR, Rig
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.namespaces import NOTHING, NamespaceSettings
from scheduler_svc.engine import hear, namespaces
from scheduler_svc.engine.namespaces import KnownNamespaces
from scheduler_svc.store import namespaces as stored
from scheduler_svc.store.pool import Pool, connection

EVERY = {"every": "1h"}


async def give(pool: Pool, name: str, **settings: object) -> None:
    """Give a namespace its first settings, or others."""
    made = convert(settings, NamespaceSettings)
    async with connection(pool) as conn:
        if await stored.insert_namespace(conn, name, made, instant_at(0)) is None:
            await stored.update_namespace(conn, name, made, instant_at(0))


async def test_a_call_outside_of_its_namespace_is_blocked_and_never_retried(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY)
    await give(rig.parts.pool, "default", egress={"deny": ["127.0.0.1"]})
    await rig.parts.namespaces.load(rig.parts.pool)
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said(job) == [("failed", "blocked")]
    assert rig.receiver.connections == 0


async def test_settings_that_say_nothing_of_egress_change_nothing(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY)
    await give(rig.parts.pool, "default")
    await give(rig.parts.pool, "other", egress={"deny": ["0.0.0.0/0"]})
    await rig.parts.namespaces.load(rig.parts.pool)
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said(job) == [("succeeded", None)]


async def test_a_notice_makes_it_look_and_the_next_call_goes_by_what_it_finds(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY)
    known, pool = rig.parts.namespaces, rig.parts.pool
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(namespaces.refreshes(known, pool, hears=True))
        await rig.pass_time(HOUR)
        await rig.work()
        await give(pool, "default", egress={"allow": ["127.0.0.2"]})
        hear.hearer(rig.parts, rig.pace, rig.outbox, tasks)("namespace", "default")
        async with asyncio.timeout(namespaces.REFRESH_SECONDS / 2):
            while known.egress("default") is None:  # noqa: ASYNC110 - what is awaited is a load
                await asyncio.sleep(0.001)
        loop.cancel()
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said(job) == [("succeeded", None), ("failed", "blocked")]


async def test_without_notices_it_looks_by_itself(
    engine_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert namespaces.REFRESH_SECONDS <= 5
    monkeypatch.setattr(namespaces, "REFRESH_SECONDS", 0.01)
    known = KnownNamespaces()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(5):
        loop = tasks.create_task(namespaces.refreshes(known, engine_pool, hears=False))
        await give(engine_pool, "default", egress={"deny": [":1"]})
        while known.egress("default") is None:  # noqa: ASYNC110 - what is awaited is a load
            await asyncio.sleep(0.001)
        loop.cancel()


async def test_rules_of_an_unchanged_revision_stay_the_same_object(engine_pool: Pool) -> None:
    """They are part of what a kept connection is found by."""
    known = KnownNamespaces()
    await give(engine_pool, "default", egress={"deny": [":1"]})
    await known.load(engine_pool)
    before = known.egress("default")
    await give(engine_pool, "other", egress={"deny": [":1"]})
    await known.load(engine_pool)
    assert known.egress("default") is before
    await give(engine_pool, "default", egress={"deny": [":2"]})
    await known.load(engine_pool)
    assert known.egress("default") is not before
    await give(engine_pool, "default")
    await known.load(engine_pool)
    assert known.egress("default") is None


async def test_nothing_is_read_while_nothing_has_changed(engine_pool: Pool) -> None:
    known = KnownNamespaces()
    await give(engine_pool, "default", alerts={"failures_in_row": 7})
    await known.load(engine_pool)
    settings = known.settings("default")
    assert settings is not None
    assert settings.alerts is not None
    assert settings.alerts.failures_in_row == 7
    await engine_pool.execute("UPDATE namespaces SET name = 'renamed'")  # behind its back
    await known.load(engine_pool)
    assert known.settings("default") is settings


async def test_settings_of_a_newer_build_keep_their_egress_and_broken_ones_open_nothing(
    engine_pool: Pool,
) -> None:
    known = KnownNamespaces()
    for name, text in (
        ("newer", '{"egress": {"deny": ["10.0.0.1"]}, "colour": "red"}'),
        ("broken", '{"egress": 7}'),
    ):
        await engine_pool.execute(
            "INSERT INTO namespaces VALUES ($1, $2::json, 1, now(), now())", name, text
        )
    await known.load(engine_pool)
    assert known.settings("newer") is None
    rules = known.egress("newer")
    assert rules is not None
    assert rules.refuse_address("10.0.0.1", 80) is not None
    assert rules.refuse_address("10.0.0.2", 80) is None
    assert known.egress("broken") is NOTHING


async def test_all_of_them_are_read_however_many(engine_pool: Pool) -> None:
    await engine_pool.execute(
        """
        INSERT INTO namespaces
        SELECT 'n' || n, '{"egress": {"deny": [":1"]}}', 1, now(), now()
        FROM generate_series(1, $1) AS n
        """,
        2 * stored.PAGE + 1,
    )
    known = KnownNamespaces()
    await known.load(engine_pool)
    assert all(known.egress(f"n{n}") is not None for n in range(1, 2 * stored.PAGE + 2))
