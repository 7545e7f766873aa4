"""The chain of the audit log: sealed by one at a time, and what was done to it is found."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec import structs

from auditing import KEYS, actions, log, meddle, pending
from rig import Rig
from scheduler_svc.domain import audit_chain
from scheduler_svc.domain.audit import ENGINE, Action, Draft, Resource
from scheduler_svc.domain.audit_chain import GENESIS, Broken, seal_key
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import EPOCH, instant_at
from scheduler_svc.engine import upkeep
from scheduler_svc.engine.audit import SEAL_BATCH, AuditRules, Sealing, prune_all, seal_all
from scheduler_svc.store import audit, settlements
from scheduler_svc.store.audit_verify import verify
from scheduler_svc.store.pool import Pool, transaction

RULES = AuditRules(keys=KEYS)
OPEN = AuditRules()
OTHER = seal_key("22222222", b"b" * 32)


def draft(number: int) -> Draft:
    return Draft(
        namespace="default",
        actor=ENGINE,
        action=Action.JOB_UPDATED,
        resource=Resource(kind="job", id=f"job-{number}"),
        before=f'{{"n": {number}}}',
        after='{"ü":  "kept as it is"}',
    )


async def write(pool: Pool, count: int) -> None:
    async with transaction(pool) as conn:
        for number in range(count):
            await audit.insert(conn, draft(number))


async def seal(rig: Rig, rules: AuditRules = RULES) -> int:
    return await seal_all(rig.parts, rules, Sealing())


async def sealed_log(rig: Rig, pool: Pool, count: int = 6, rules: AuditRules = RULES) -> None:
    await write(pool, count)
    assert await seal(rig, rules) == count


async def test_what_was_written_is_sealed_in_one_chain(rig: Rig, pool: Pool) -> None:
    await sealed_log(rig, pool, 3)
    await sealed_log(rig, pool, 2)
    rows = await log(pool)
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["prev_hash"] == GENESIS
    assert [row["prev_hash"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert {row["key_id"] for row in rows} == {KEYS[0].id}
    assert await pending(pool) == []
    found = await verify(pool, KEYS)
    assert (found.broken, found.entries, found.last.seq) == (None, 5, 5)
    told = rig.told(EventName.AUDIT_SEALED)
    assert [(one["seq"], one["entries"]) for one in told] == [(3, 3), (5, 2)]
    assert told[-1]["hash"] == found.last.hash.hex()


async def test_more_than_a_batch_is_sealed_without_a_gap(rig: Rig, pool: Pool) -> None:
    count = SEAL_BATCH + 7
    await sealed_log(rig, pool, count)
    found = await verify(pool, KEYS)
    assert (found.broken, found.entries) == (None, count)


async def test_two_replicas_that_seal_at_once_make_one_chain(
    rig: Rig, other: Rig, pool: Pool
) -> None:
    stop = asyncio.Event()

    async def writes() -> None:
        for _ in range(40):
            await write(pool, 5)
        stop.set()

    async def sealing(one: Rig) -> int:
        count, state = 0, Sealing()
        while not stop.is_set():
            count += await seal_all(one.parts, RULES, state)
        return count

    _, mine, theirs = await asyncio.gather(writes(), sealing(rig), sealing(other))
    rest = await seal(rig)
    found = await verify(pool, KEYS)
    assert (found.broken, found.entries) == (None, 200)
    assert mine + theirs + rest == 200


async def test_who_holds_the_chain_is_not_waited_for(rig: Rig, other: Rig, pool: Pool) -> None:
    await write(pool, 2)
    async with transaction(pool) as conn:
        assert await audit.try_lock(conn)
        assert await seal(rig) == 0
        assert await prune_all(other.parts, AuditRules(retention_ms=0)) == 0
    assert await seal(rig) == 2


async def test_what_commits_late_is_sealed_later_and_not_passed_over(rig: Rig, pool: Pool) -> None:
    async with transaction(pool) as late:
        await audit.insert(late, draft(1))
        await sealed_log(rig, pool, 2)
    assert await seal(rig) == 1
    rows = await log(pool)
    assert rows[2]["resource_id"] == "job-1"
    assert rows[2]["at"] < rows[0]["at"]
    assert (await verify(pool, KEYS)).broken is None


async def test_what_a_replica_wrote_before_it_died_is_sealed_by_another(
    rig: Rig, other: Rig, pool: Pool
) -> None:
    await write(pool, 3)

    async def seal_half() -> None:
        async with transaction(rig.parts.pool) as conn:
            assert await audit.try_lock(conn)
            assert len(await audit.take(conn, since=EPOCH, batch=9)) == 3
            raise RuntimeError("it dies here")

    with pytest.raises(RuntimeError, match="dies"):
        await seal_half()
    assert await seal(other) == 3
    assert (await verify(pool, KEYS)).broken is None


async def test_a_change_that_is_taken_back_takes_its_entry_along(rig: Rig, pool: Pool) -> None:

    async def write_and_refuse() -> None:
        async with transaction(pool) as conn:
            await audit.insert(conn, draft(1))
            raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        await write_and_refuse()
    assert await seal(rig) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'job.deleted'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_pending SET action = 'job.deleted'",
        "DELETE FROM audit_pending",
        "TRUNCATE audit_pending",
    ],
)
async def test_the_database_refuses_to_change_what_was_written(
    rig: Rig, pool: Pool, statement: str
) -> None:
    await sealed_log(rig, pool, 2)
    await write(pool, 1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only added to"):
        await pool.execute(statement)
    assert (len(await log(pool)), len(await pending(pool))) == (2, 1)


COLUMNS = "id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action"
REST = "resource_kind, resource_id, resource_name, job_id, before, after, many"
FORGED = f"""
    INSERT INTO audit_log (seq, {COLUMNS}, {REST}, prev_hash, hash, key_id, mac)
    SELECT 3, gen_random_uuid(), at, namespace, actor_kind, 'somebody', actor_name, address,
        request_id, action, {REST}, prev_hash, sha256('x'), key_id, mac
    FROM audit_log WHERE seq = 2
"""
COPY = f"""
    INSERT INTO audit_log
    SELECT 7, {COLUMNS}, {REST}, prev_hash, hash, key_id, mac FROM audit_log WHERE seq = 6
"""
SHIFT = "UPDATE audit_log SET seq = seq + 1000 WHERE seq >= 3"
BACK = "UPDATE audit_log SET seq = seq - 999 WHERE seq >= 1000"
DISTURBED: dict[str, tuple[tuple[str, ...], str, int]] = {
    "a field is changed": (
        ("UPDATE audit_log SET actor_id = 'somebody else' WHERE seq = 3",),
        "changed",
        3,
    ),
    "a side is changed": (("UPDATE audit_log SET before = NULL WHERE seq = 4",), "changed", 4),
    "an instant is changed": (
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 1",),
        "changed",
        1,
    ),
    "a code is changed": (("UPDATE audit_log SET mac = sha256('x') WHERE seq = 2",), "changed", 2),
    "a code is taken away": (
        ("UPDATE audit_log SET mac = NULL, key_id = NULL WHERE seq = 2",),
        "changed",
        2,
    ),
    "a row is deleted": (("DELETE FROM audit_log WHERE seq = 3",), "missing", 3),
    "the first is deleted": (("DELETE FROM audit_log WHERE seq = 1",), "missing", 1),
    "the last ones are deleted": (("DELETE FROM audit_log WHERE seq > 4",), "missing", 5),
    "the last ones and their mark": (
        (
            "DELETE FROM audit_log WHERE seq > 4",
            "UPDATE audit_marks SET seq = 4, hash = (SELECT hash FROM audit_log WHERE seq = 4)",
        ),
        "missing",
        4,
    ),
    "a deleted row is closed over": (
        (
            "DELETE FROM audit_log WHERE seq = 3",
            "UPDATE audit_log SET seq = seq - 1 + 1000 WHERE seq > 3",
            "UPDATE audit_log SET seq = seq - 1000 WHERE seq > 1000",
        ),
        "missing",
        3,
    ),
    "two neighbours are swapped": (
        (
            "UPDATE audit_log SET seq = 1003 WHERE seq = 3",
            "UPDATE audit_log SET seq = 3 WHERE seq = 4",
            "UPDATE audit_log SET seq = 4 WHERE seq = 1003",
        ),
        "reordered",
        3,
    ),
    "two apart are swapped": (
        (
            "UPDATE audit_log SET seq = 1002 WHERE seq = 2",
            "UPDATE audit_log SET seq = 2 WHERE seq = 5",
            "UPDATE audit_log SET seq = 5 WHERE seq = 1002",
        ),
        "reordered",
        2,
    ),
    "one is put between": ((SHIFT, FORGED, BACK), "inserted", 3),
    "one is copied to the end": ((COPY,), "inserted", 7),
    "the mark of the end is gone": (("DELETE FROM audit_marks",), "inserted", 1),
}


@pytest.mark.parametrize("name", DISTURBED)
async def test_what_was_done_to_the_log_is_named_with_its_place(
    rig: Rig, pool: Pool, name: str
) -> None:
    statements, fault, seq = DISTURBED[name]
    await sealed_log(rig, pool)
    await meddle(pool, *statements)
    found = await verify(pool, KEYS)
    assert found.broken is not None
    assert (found.broken.fault, found.broken.seq) == (fault, seq), found.broken


async def recomputed(pool: Pool, rules: AuditRules) -> None:
    """Change an entry and seal all from there on anew, as someone without the key can."""
    async with transaction(pool) as conn:
        rows = await audit.walk(conn, after=0, batch=100)
        before, again = audit_chain.FIRST, []
        for row in rows:
            entry = row.entry
            if row.link.seq == 3:
                entry = structs.replace(entry, actor_id="somebody else")
            again.append(audit_chain.seal(entry, before, row.link.seq, rules.keys))
            before = again[-1].link
        await conn.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await conn.execute("DELETE FROM audit_log")
        await audit.append(conn, again)
        await audit.put_mark(conn, "head", audit_chain.mark("head", before, rules.keys))
        await conn.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")


async def test_who_has_the_database_alone_can_not_make_the_chain_anew(rig: Rig, pool: Pool) -> None:
    await sealed_log(rig, pool)
    noted = (await verify(pool, KEYS)).last
    await recomputed(pool, AuditRules(keys=(seal_key(KEYS[0].id, b"guessed" * 4),)))
    found = await verify(pool, KEYS)
    assert found.broken is not None
    assert (found.broken.fault, found.broken.seq) == ("changed", 1)
    # Without keys the chain alone says nothing against it, and a place noted elsewhere does.
    assert (await verify(pool, ())).broken is None
    held = await verify(pool, (), expected=(noted.seq, noted.hash))
    assert held.broken == Broken("changed", noted.seq, "its hash is not the one that was noted")


async def test_a_place_that_was_noted_is_missed_where_the_log_ends_before_it(
    rig: Rig, pool: Pool
) -> None:
    await sealed_log(rig, pool)
    found = await verify(pool, KEYS, expected=(9, GENESIS))
    assert found.broken is not None
    assert (found.broken.fault, found.broken.seq) == ("missing", 7)


async def test_a_new_key_seals_and_old_ones_are_still_judged(rig: Rig, pool: Pool) -> None:
    await sealed_log(rig, pool, 3)
    await sealed_log(rig, pool, 3, AuditRules(keys=(OTHER, *KEYS)))
    assert (await verify(pool, (OTHER, *KEYS))).broken is None
    without = await verify(pool, (OTHER,))
    assert without.broken is not None
    assert KEYS[0].id in without.broken.detail
    lenient = await verify(pool, (OTHER,), lenient=True)
    assert (lenient.broken, lenient.unjudged) == (None, 3)
    assert (await verify(pool, ())).unjudged == 6


async def test_a_log_that_began_without_keys_is_in_order_with_them(rig: Rig, pool: Pool) -> None:
    await sealed_log(rig, pool, 3, OPEN)
    assert (await verify(pool, ())).broken is None
    await sealed_log(rig, pool, 3)
    assert (await verify(pool, KEYS)).broken is None


async def test_what_waits_to_be_sealed_for_long_is_told(rig: Rig, pool: Pool) -> None:
    await sealed_log(rig, pool, 2)
    await write(pool, 1)
    assert (await verify(pool, KEYS)).broken is None
    await aged(pool, minutes=2)
    found = await verify(pool, KEYS)
    assert found.broken is not None
    assert (found.broken.fault, found.broken.seq) == ("unsealed", 3)


async def aged(pool: Pool, *, minutes: int) -> None:
    """Let what waits to be sealed have been written so much earlier."""
    async with transaction(pool) as conn:
        await conn.execute("ALTER TABLE audit_pending DISABLE TRIGGER USER")
        await conn.execute(
            "UPDATE audit_pending SET at = at - $1::interval", timedelta(minutes=minutes)
        )
        await conn.execute("ALTER TABLE audit_pending ENABLE TRIGGER USER")


async def test_what_is_older_than_a_look_goes_back_is_found_once_a_minute(
    rig: Rig, pool: Pool
) -> None:
    rig.clock.ms = int(datetime.now(UTC).timestamp() * 1000)
    sealing = Sealing()
    assert await seal_all(rig.parts, RULES, sealing) == 0
    await write(pool, 2)
    await aged(pool, minutes=10)
    assert await seal_all(rig.parts, RULES, sealing) == 0
    await rig.pass_time(61_000)
    assert await seal_all(rig.parts, RULES, sealing) == 2


async def test_what_is_too_old_is_pruned_from_the_beginning_and_the_chain_still_holds(
    rig: Rig, pool: Pool
) -> None:
    await write(pool, 4)
    await aged(pool, minutes=3 * 24 * 60)
    await write(pool, 2)
    assert await seal(rig) == 6
    rig.clock.ms = int(datetime.now(UTC).timestamp() * 1000)
    rules = AuditRules(keys=KEYS, retention_ms=2 * 86_400_000)
    assert await prune_all(rig.parts, rules) == 4
    assert await actions(pool) == ["audit.pruned"]
    assert [row["seq"] for row in await log(pool)] == [5, 6]
    assert await prune_all(rig.parts, rules) == 0
    await seal(rig)
    found = await verify(pool, KEYS)
    assert (found.broken, found.first.seq, found.entries) == (None, 4, 3)
    assert rig.told(EventName.AUDIT_PRUNED) == [{"seq": 4, "entries": 4}]


async def test_a_log_that_was_pruned_to_nothing_goes_on_where_it_was(rig: Rig, pool: Pool) -> None:
    await write(pool, 3)
    await aged(pool, minutes=3 * 24 * 60)
    await seal(rig)
    rig.clock.ms = int(datetime.now(UTC).timestamp() * 1000)
    assert await prune_all(rig.parts, AuditRules(keys=KEYS, retention_ms=86_400_000)) == 3
    assert await seal(rig) == 1
    assert [row["seq"] for row in await log(pool)] == [4]
    assert (await verify(pool, KEYS)).broken is None
    assert rig.told(EventName.AUDIT_BROKEN) == []


async def test_pruning_by_hand_is_found_although_the_mark_is_moved(rig: Rig, pool: Pool) -> None:
    await sealed_log(rig, pool)
    await meddle(
        pool,
        "INSERT INTO audit_marks SELECT 'start', seq, hash, key_id, mac FROM audit_log"
        " WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq <= 2",
    )
    found = await verify(pool, KEYS)
    assert found.broken is not None
    assert (found.broken.fault, found.broken.seq) == ("missing", 2)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_log WHERE seq > 4",
        "UPDATE audit_marks SET mac = sha256('x') WHERE name = 'head'",
        COPY,
    ],
)
async def test_who_seals_tells_of_a_broken_end_once_and_goes_on(
    rig: Rig, pool: Pool, statement: str
) -> None:
    await sealed_log(rig, pool)
    await meddle(pool, statement)
    sealing = Sealing()
    for _ in range(2):
        await write(pool, 1)
        assert await seal_all(rig.parts, RULES, sealing) == 1
    assert len(rig.told(EventName.AUDIT_BROKEN)) == 1
    if "mac" not in statement.partition("SELECT")[0]:
        assert (await verify(pool, KEYS)).broken is not None


async def test_the_walk_goes_on_where_entries_are_pruned_and_sealed_meanwhile(
    rig: Rig, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealed_log(rig, pool, 30)
    monkeypatch.setattr("scheduler_svc.store.audit_verify.BATCH", 4)
    stop = asyncio.Event()

    async def verifies() -> list[Broken | None]:
        found = [(await verify(pool, KEYS)).broken for _ in range(8)]
        stop.set()
        return found

    async def upkeep() -> None:
        rules = AuditRules(keys=KEYS, retention_ms=0)
        while not stop.is_set():
            await write(pool, 3)
            await seal(rig)
            await _prune_some(rig, pool, rules)

    found, _ = await asyncio.gather(verifies(), upkeep())
    assert found == [None] * 8


async def _prune_some(rig: Rig, pool: Pool, rules: AuditRules) -> None:
    """Prune the oldest two, as upkeep does with those that are too old."""
    at = await pool.fetchval("SELECT at FROM audit_log ORDER BY seq LIMIT 1 OFFSET 2")
    rig.clock.ms = int(at.timestamp() * 1000)
    await prune_all(rig.parts, rules)


async def test_what_the_service_does_to_a_job_by_itself_is_written_down(
    rig: Rig, pool: Pool
) -> None:
    gone = await rig.job(name="gone")
    spent = await rig.job(
        name="spent", schedule={"every": "1h", "max_runs": 1}, delete_after_completion=True
    )
    async with transaction(pool) as conn:
        await settlements.pause_jobs(conn, [gone], reason="410", now_ms=rig.clock.ms)
        await conn.execute("UPDATE jobs SET state = 'completed' WHERE id = $1", spent)
    assert await upkeep.delete_spent(rig.parts) == 1
    paused, deleted = await pending(pool)
    for entry, action, job in ((paused, "job.paused", gone), (deleted, "job.deleted", spent)):
        assert (entry["action"], entry["actor_kind"]) == (action, "engine")
        assert (entry["job_id"], entry["resource_id"]) == (job, str(job))
    assert json.loads(paused["after"])["pause"] == {"reason": "410"}
    assert (paused["resource_name"], deleted["resource_name"]) == ("gone", "spent")


async def test_a_pause_that_ends_by_itself_is_written_down(rig: Rig, pool: Pool) -> None:
    job = await rig.job(name="j")
    until = instant_at(rig.clock.ms + 60_000).isoformat()
    pause = f'{{"reason": "a while", "since": "{until}", "until": "{until}"}}'
    async with transaction(pool) as conn:
        await conn.execute("UPDATE jobs SET state = 'paused', pause = $1::json", pause)
        await conn.execute(
            "UPDATE job_timers SET scheduled_for = NULL, fire_at = $1",
            instant_at(rig.clock.ms + 60_000),
        )
    await rig.pass_time(61_000)
    await rig.tick()
    (entry,) = await pending(pool)
    assert (entry["action"], entry["actor_kind"], entry["job_id"]) == (
        *("job.resumed", "engine", job),
    )
    assert json.loads(entry["before"])["pause"]["reason"] == "a while"
    assert json.loads(entry["after"])["state"] == "active"
