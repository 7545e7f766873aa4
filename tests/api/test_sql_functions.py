"""Scheduling in an application's transaction: the functions, and what a replica makes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import httpx2
import pytest
from msgspec import structs

from scheduler_svc.api import sql_requests
from scheduler_svc.api.context import Deps
from scheduler_svc.api.sql_requests import carry_out
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.store.notices import CHANNEL
from scheduler_svc.store.pool import Pool

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
URL = "http://127.0.0.1:9/x"
GRANTS = """
    GRANT USAGE ON SCHEMA scheduler TO {role};
    GRANT EXECUTE ON FUNCTION scheduler.create_job, scheduler.trigger_job, scheduler.cancel_job
        TO {role};
"""


def soon(seconds: float = 3600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def job(**more: Any) -> dict[str, Any]:
    return {"name": "a", "schedule": {"at": soon()}, "target": {"url": URL}} | more


async def create(conn: Any, definition: dict[str, Any], **more: str) -> UUID:
    named = "".join(f", {name} => ${place}" for place, name in enumerate(more, 2))
    query = f"SELECT scheduler.create_job($1::text::jsonb{named})"
    made: UUID = await conn.fetchval(query, json.dumps(definition), *more.values())
    return made


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Any]:
    """A connection of the application's own."""
    async with pool.acquire() as one:
        yield one


async def test_a_job_that_is_committed_is_the_one_that_the_api_would_have_made(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    given = job(
        labels={"team": "x"},
        schedule={"cron": "0 9 * * MON", "timezone": "Europe/Berlin"},
        retry={"delays": ["90m"]},
    )
    told = (await http.post("/jobs", json=given | {"name": "b"})).json()
    made = await create(conn, given)
    before = (await http.get(f"/jobs/{made}")).json()
    assert (before["state"], before["next_fire_at"]) == ("paused", None)
    assert "no replica has looked at it yet" in before["pause"]["reason"]
    assert await carry_out(deps) == 1
    after = (await http.get("/jobs/a")).json()
    own = {"id", "name", "created_at", "updated_at", "revision", "warnings"}
    assert {k: v for k, v in after.items() if k not in own} == {
        k: v for k, v in told.items() if k not in own
    }
    assert after["id"] == str(made)
    assert await carry_out(deps) == 0


async def test_a_transaction_that_rolls_back_leaves_nothing(conn: Any, deps: Deps) -> None:
    work = conn.transaction()
    await work.start()
    await create(conn, job())
    await work.rollback()
    assert await carry_out(deps) == 0
    for table in ("jobs", "job_timers", "sql_requests", "runs"):
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_an_instant_that_passed_while_the_transaction_was_open_is_still_to_be_sent(
    conn: Any, deps: Deps
) -> None:
    made = await create(conn, job(schedule={"at": soon(0.05)}))
    await asyncio.sleep(0.1)  # the instant itself
    await carry_out(deps)
    due = await conn.fetchval("SELECT fire_at <= now() FROM job_timers WHERE job_id = $1", made)
    assert due is True


async def test_replicas_look_from_it_on_though_something_else_of_the_job_is_due_now(
    conn: Any, deps: Deps, dsn: str
) -> None:
    instants = [soon(-3600), soon(0.05)]
    await create(conn, job(schedule={"at": instants, "if_past": "run"}))
    await asyncio.sleep(0.1)  # the instant itself
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = await asyncpg.connect(dsn, timeout=10)
    await listening.add_listener(CHANNEL, lambda *said: heard.put_nowait(str(said[3])))
    await carry_out(deps)
    async with asyncio.timeout(10):
        while not (said := await heard.get()).startswith("wake"):
            pass
    await listening.close(timeout=5)
    due = await conn.fetchval("SELECT fire_at FROM job_timers")
    assert said == f"wake {epoch_ms(due)}"
    assert await conn.fetchval("SELECT trigger FROM runs WHERE status = 'due'") == "catch_up"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schedule": {"cron": "61 * * * *"}}, "refused: /schedule/cron: "),
        ({"schedule": {"cron": "* * * * *", "timezone": "Mars/Base"}}, "refused: /schedule/timez"),
        ({"target": {"url": "http://10.0.0.1/"}}, "refused: /target/url: "),
        ({"target": {"url": URL, "headers": {"Host": "x"}}}, "refused: /target/headers/Host: "),
        ({"target": {"url": URL, "timeout": "1ms"}}, "refused: /target/timeout: "),
        (
            {"target": {"url": URL, "headers": {"X-Key": "{{secret:nosuch}}"}}},
            "refused: /target/headers/X-Key: ",
        ),
    ],
)
async def test_what_only_the_service_can_judge_leaves_the_job_paused_with_the_reason(
    conn: Any, deps: Deps, http: httpx2.AsyncClient, change: dict[str, Any], told: str
) -> None:
    events: list[EventName] = []
    made = await create(conn, job(**change))
    await carry_out(structs.replace(deps, on_event=lambda name, **_: events.append(name)))
    shown = (await http.get(f"/jobs/{made}")).json()
    assert shown["state"] == "paused"
    assert shown["pause"]["reason"].startswith(told)
    why = (await http.get(f"/jobs/{made}/explain?at={shown['upcoming'] or soon(60)}")).json()
    assert why["verdict"] in {"never", "skipped"}
    assert events == [EventName.JOB_CREATED, EventName.JOB_PAUSED]
    entry = await conn.fetchrow("SELECT * FROM audit_pending")
    assert (entry["action"], entry["actor_kind"]) == ("job.created", "database")
    assert json.loads(entry["after"])["schedule"].keys() >= (
        change.get("schedule", {"at": 0}).keys() & {"cron", "at"}
    )
    mended = await http.put("/jobs/a", json=job())
    assert mended.status_code == 200, mended.text
    assert (await http.post("/jobs/a/resume")).json()["state"] == "active"


@pytest.mark.parametrize(
    ("definition", "detail"),
    [
        (job(schedule={"at": "2020-01-01T00:00:00Z"}), "is in the past"),
        (job(schedule={}), "needs exactly one of cron, every, at"),
        (job(schedule={"every": "1h", "at": soon()}), "needs exactly one of cron, every, at"),
        (job(target={"url": URL, "headers": {"authorization": "Bearer x"}}), "SQL can not seal"),
        (job(target={"url": URL, "auth": {"type": "bearer", "token": "x"}}), "SQL can not seal"),
        (
            job(
                target={"url": URL, "auth": {"type": "basic", "username": "u", "password": "hush"}}
            ),
            "SQL can not seal",
        ),
        (job(target={"url": URL, "tls": {"key": "PEM"}}), "SQL can not seal"),
        (job(target={"url": URL, "body": "x" * 262_145}), "is longer than 262144 bytes"),
        (job(name="0198c0de-0000-7000-8000-000000000000"), "looks like an id"),
        (job(nmae="x"), "unknown field"),
    ],
)
async def test_what_sql_can_judge_is_refused_at_once_with_pointer_and_sqlstate(
    conn: Any, definition: dict[str, Any], detail: str
) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError) as refused:
        await create(conn, definition)
    assert detail in (refused.value.detail or "")
    assert refused.value.hint
    assert "hush" not in f"{refused.value} {refused.value.detail}"


async def test_a_secret_goes_by_its_name(conn: Any, deps: Deps, http: httpx2.AsyncClient) -> None:
    assert (await http.put("/secrets/t", json={"value": "opensesame"})).status_code in {200, 201}
    headers = {"Authorization": "Bearer {{secret:t}}"}
    made = await create(conn, job(target={"url": URL, "headers": headers}))
    await carry_out(deps)
    shown = (await http.get(f"/jobs/{made}")).json()
    assert (shown["state"], shown["target"]["headers"]) == ("active", {"Authorization": "***"})
    stored = await conn.fetchval("SELECT definition::text FROM jobs")
    assert "sealed:v1:" in stored
    assert await conn.fetchval("SELECT count(*) FROM sql_requests") == 0


async def test_a_name_that_is_taken_is_an_error_or_the_job_that_has_it(
    conn: Any, pool: Pool
) -> None:
    made = await create(conn, job())
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await create(conn, job())
    assert "a job named 'a' exists already in the namespace 'default'" in str(refused.value)
    assert str(made) in (refused.value.detail or "")
    assert await create(conn, job(), if_exists="keep") == made
    assert await create(conn, job(), namespace="other") != made
    unnamed = [await create(conn, job(name=None)) for _ in range(2)]
    assert len(set(unnamed)) == 2
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await create(conn, job(name="b"), if_exists="replace")
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await create(conn, job(name="b"), namespace="No Such")


async def test_two_transactions_that_create_one_name_make_one_job(conn: Any, pool: Pool) -> None:
    async with pool.acquire() as other:
        work = conn.transaction()
        await work.start()
        made = await create(conn, job())
        second = asyncio.create_task(create(other, job(), if_exists="keep"))
        await _waits(conn, second)
        await work.commit()
        assert await second == made
        work = conn.transaction()
        await work.start()
        await create(conn, job(name="b"))
        second = asyncio.create_task(create(other, job(name="b")))
        await _waits(conn, second)
        await work.rollback()
        assert isinstance(await second, UUID)


async def _waits(conn: Any, task: "asyncio.Task[UUID]") -> None:
    async with asyncio.timeout(20):
        # What another session waits for: there is no event of it.
        while not task.done() and not await conn.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not task.done()


async def test_a_trigger_makes_the_run_whose_id_it_answered(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    async with conn.transaction():
        made = await create(conn, job())
        first = await conn.fetchval("SELECT scheduler.trigger_job('a', '{\"n\": 1}')")
        second = await conn.fetchval("SELECT scheduler.trigger_job($1)", str(made))
        third = await conn.fetchval("SELECT scheduler.trigger_job('a', overlap => 'allow')")
    await carry_out(deps)
    run = (await http.get(f"/runs/{first}")).json()
    assert (run["status"], run["trigger"], run["job_id"]) == ("due", "manual", str(made))
    assert await conn.fetchval("SELECT overrides ->> 'body' FROM runs WHERE id = $1", first)
    refused = (await http.get(f"/runs/{second}")).json()
    assert (refused["status"], refused["reason"]) == ("skipped", "overlap")
    assert (await http.get(f"/runs/{third}")).json()["status"] == "due"
    actions = await conn.fetch("SELECT action, actor_name FROM audit_pending ORDER BY at")
    role = await conn.fetchval("SELECT session_user::text")
    assert [tuple(row) for row in actions] == [
        ("job.created", role),
        *[("job.triggered", role)] * 3,
    ]
    with pytest.raises(asyncpg.NoDataFoundError):
        await conn.fetchval("SELECT scheduler.trigger_job('nosuch')")


async def test_a_job_that_was_refused_is_not_sent_by_a_trigger_of_the_same_transaction(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    async with conn.transaction():
        await create(conn, job(target={"url": URL, "headers": {"Host": "x"}}))
        run = await conn.fetchval("SELECT scheduler.trigger_job('a')")
    await carry_out(deps)
    shown = (await http.get(f"/runs/{run}")).json()
    assert (shown["status"], shown["reason"]) == ("skipped", "refused")
    after = await conn.fetchval("SELECT after FROM audit_pending WHERE action = 'job.triggered'")
    assert json.loads(after) == {
        "run": str(run),
        "skipped": "refused",
        "detail": "the job was refused",
    }


async def test_a_trigger_whose_job_is_gone_or_whose_minute_is_full_is_a_run_that_says_so(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    deps = structs.replace(deps, quotas=Quotas(runs_per_minute=1))
    await create(conn, job(overlap="allow"))
    runs = [await conn.fetchval("SELECT scheduler.trigger_job('a')") for _ in range(2)]
    await carry_out(deps)
    runs.append(await conn.fetchval("SELECT scheduler.trigger_job('a')"))
    assert (await http.delete("/jobs/a")).status_code == 204
    await carry_out(deps)
    shown = [(await http.get(f"/runs/{run}")).json() for run in runs]
    assert [(run["status"], run["reason"]) for run in shown[1:]] == [
        ("skipped", "quota"),
        ("cancelled", "job_deleted"),
    ]


async def test_cancelling_takes_the_job_and_its_name_away_in_the_transaction(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    old = await create(conn, job())
    await carry_out(deps)
    async with conn.transaction():
        assert await conn.fetchval("SELECT scheduler.cancel_job('a')") is True
        assert await conn.fetchval("SELECT scheduler.cancel_job('a')") is False
        new = await create(conn, job(schedule={"at": soon(7200)}))
    await carry_out(deps)
    assert (await http.get(f"/jobs/{old}")).status_code == 404
    assert (await http.get("/jobs/a")).json()["id"] == str(new)
    actions = [row["action"] for row in await conn.fetch("SELECT action FROM audit_pending")]
    assert sorted(actions) == ["job.created", "job.created", "job.deleted"]
    assert await conn.fetchval("SELECT scheduler.cancel_job('a', 'other')") is False


async def test_a_job_beyond_the_quota_of_its_namespace_stays_paused(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    deps = structs.replace(deps, quotas=Quotas(jobs_max=1))
    for name in ("a", "b"):
        await create(conn, job(name=name))
        await carry_out(deps)
    assert (await http.get("/jobs/a")).json()["state"] == "active"
    assert "jobs_max" in (await http.get("/jobs/b")).json()["pause"]["reason"]


async def test_an_edit_before_anybody_looked_stands_under_the_schedule_that_was_given(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    given = job(schedule={"cron": "0 9 * * MON"})
    made = await create(conn, given)
    changed = await http.patch(f"/jobs/{made}", json={"description": "mine"})
    assert changed.status_code == 200, changed.text
    await carry_out(deps)
    shown = (await http.get(f"/jobs/{made}")).json()
    assert (shown["description"], shown["schedule"]["cron"]) == ("mine", "0 9 * * MON")
    assert (shown["state"], shown["next_fire_at"] is None) == ("active", False)


@asynccontextmanager
async def a_role(dsn: str, conn: Any, name: str) -> AsyncIterator[Any]:
    """A login of an application, with the grants that docs/transactions.md names."""
    await conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    try:
        await conn.execute(GRANTS.format(role=name))
        parts = urlsplit(dsn)
        host = parts.netloc.rpartition("@")[2]
        theirs = urlunsplit(parts._replace(netloc=f"{name}:x@{host}"))
        login = await asyncpg.connect(theirs, timeout=10)
        try:
            yield login
        finally:
            await login.close()
    finally:
        await conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_a_role_with_execute_can_do_this_and_nothing_else(
    dsn: str, conn: Any, deps: Deps
) -> None:
    async with a_role(dsn, conn, "application_of_a_test") as theirs:
        await create(theirs, job())
        await theirs.fetchval("SELECT scheduler.trigger_job('a')")
        assert await theirs.fetchval("SELECT scheduler.cancel_job('a')") is True
        for forbidden in (
            "SELECT * FROM jobs",
            "INSERT INTO sql_requests (verb) VALUES ('create')",
            "SELECT scheduler.ask('cancel', 'default', gen_random_uuid(), '', NULL, now(), '{}')",
            "SELECT scheduler.find_job('a', 'default')",
            "DELETE FROM job_timers",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await theirs.execute(forbidden)
        await theirs.execute("CREATE TEMP TABLE jobs (id int)")  # is not what the functions write
        await create(theirs, job())
        assert await theirs.fetchval("SELECT count(*) FROM pg_temp.jobs") == 0
    roles = {row["role"] for row in await conn.fetch("SELECT role FROM sql_requests")}
    assert roles == {"application_of_a_test"}


async def test_nobody_else_may_call_them(dsn: str, conn: Any) -> None:
    async with a_role(dsn, conn, "somebody_of_a_test") as theirs:
        await conn.execute("REVOKE ALL ON SCHEMA scheduler FROM somebody_of_a_test")
        await conn.execute(
            "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scheduler FROM somebody_of_a_test"
        )
        await conn.execute("GRANT USAGE ON SCHEMA scheduler TO somebody_of_a_test")
        for call in ("create_job('{}')", "trigger_job('a')", "cancel_job('a')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await theirs.execute(f"SELECT scheduler.{call}")


async def test_a_body_that_no_reader_takes_is_a_fault_of_the_job_with_its_place(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    text = json.dumps(job()).replace(f'"{URL}"', f'"{URL}", "body": 1e5000')
    await conn.fetchval("SELECT scheduler.create_job($1::text::jsonb)", text)
    await carry_out(deps)
    reason = (await http.get("/jobs/a")).json()["pause"]["reason"]
    assert reason.startswith("refused: /target/body: the number")


@pytest.mark.parametrize("body", ["1e5000", "[" * 200 + "]" * 200])
async def test_a_trigger_with_a_body_that_no_reader_takes_is_a_run_that_says_so(
    conn: Any, deps: Deps, http: httpx2.AsyncClient, body: str
) -> None:
    await create(conn, job())
    run = await conn.fetchval("SELECT scheduler.trigger_job('a', $1::text::jsonb)", body)
    await carry_out(deps)
    assert (await http.get(f"/runs/{run}")).json()["reason"] == "refused"
    after = await conn.fetchval("SELECT after FROM audit_pending WHERE action = 'job.triggered'")
    assert json.loads(after)["detail"] not in {"", "the job was refused"}


@pytest.mark.parametrize(
    "breaks",
    [
        "UPDATE sql_requests SET verb = 'cancel', document = '[]' WHERE job_id = $1",
        "UPDATE jobs SET definition = '[]' WHERE id = $1",
    ],
)
async def test_one_request_that_can_not_be_carried_out_holds_up_no_other(
    conn: Any, deps: Deps, http: httpx2.AsyncClient, breaks: str
) -> None:
    broken = await create(conn, job())
    await create(conn, job(name="b"))
    await conn.execute(breaks, broken)
    assert await carry_out(deps) == 2
    assert (await http.get("/jobs/b")).json()["state"] == "active"


async def test_a_request_that_meets_a_lock_waits_for_it_and_holds_up_no_other(
    conn: Any, pool: Pool, deps: Deps, http: httpx2.AsyncClient
) -> None:
    made = await create(conn, job())
    run = await conn.fetchval("SELECT scheduler.trigger_job('a')")
    await create(conn, job(name="b"))
    async with pool.acquire() as other:
        work = other.transaction()
        await work.start()
        await other.execute("SELECT FROM job_timers WHERE job_id = $1 FOR UPDATE", made)
        assert await carry_out(deps) == 1
        assert await carry_out(deps) == 0
        assert (await http.get("/jobs/b")).json()["state"] == "active"
        assert (await http.get(f"/runs/{run}")).status_code == 404  # after its job, as ever
        await work.rollback()
    done = 0
    async with asyncio.timeout(30):
        # The server may still be ending the session that was cut.
        while (done := done + await carry_out(deps)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await http.get("/jobs/a")).json()["state"] == "active"
    assert (await http.get(f"/runs/{run}")).json()["status"] == "due"


async def test_more_than_there_is_time_for_is_carried_out_bit_by_bit(
    conn: Any, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_requests, "BATCH_SECONDS", 0.0)
    for name in ("a", "b"):
        await create(conn, job(name=name))
    assert [await carry_out(deps) for _ in range(3)] == [1, 1, 0]


async def test_what_can_not_even_be_set_aside_is_dropped(
    conn: Any, deps: Deps, http: httpx2.AsyncClient
) -> None:
    await create(conn, job())
    await carry_out(deps)
    run = await conn.fetchval("SELECT scheduler.trigger_job('a')")
    await conn.execute(  # its word would have to be written where another run is
        "INSERT INTO sql_requests (verb, namespace, job_id, run_id, asked_at, role, document)"
        " SELECT verb, namespace, job_id, run_id, asked_at, role, document FROM sql_requests"
    )
    await create(conn, job(name="b"))
    assert await carry_out(deps) == 3
    assert (await http.get(f"/runs/{run}")).json()["status"] == "due"
    assert (await http.get("/jobs/b")).json()["state"] == "active"


async def test_what_others_put_into_the_public_schema_is_not_what_the_functions_call(
    dsn: str, conn: Any
) -> None:
    async with a_role(dsn, conn, "builder_of_a_test") as theirs:
        await conn.execute("GRANT CREATE ON SCHEMA public TO builder_of_a_test")
        await theirs.execute("""
            CREATE FUNCTION public.mine(text, uuid) RETURNS text LANGUAGE plpgsql AS $$
                BEGIN RAISE 'ran as %', current_user; END $$;
            CREATE OPERATOR public.|| (FUNCTION = public.mine, LEFTARG = text, RIGHTARG = uuid);
            CREATE FUNCTION public.mine(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS $$
                BEGIN RAISE 'ran as %', current_user; END $$;
            CREATE OPERATOR public.* (
                FUNCTION = public.mine, LEFTARG = numeric, RIGHTARG = integer);
        """)
        await create(theirs, job())
        await theirs.fetchval("SELECT scheduler.trigger_job('a')")
        assert await theirs.fetchval("SELECT scheduler.cancel_job('a')") is True
