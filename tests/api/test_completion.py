"""Callback completion over HTTP: what is refused on create, tokens, reports, and what is shown."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from msgspec.structs import replace

from factories import MORNING_MS, Clock, Json, body, claim, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.limits import Limiter
from scheduler_svc.domain.completion import Callbacks, token
from scheduler_svc.domain.ids import scheduled_ms_of
from scheduler_svc.domain.limits import Policy
from scheduler_svc.domain.runs import RunStatus
from scheduler_svc.store import completion
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.settlements import Settlement

HOUR_MS = 3_600_000
KEY = b"k" * 32
CALLBACK = {"completion": "callback", "completion_timeout": "90m"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def sent(http: httpx2.AsyncClient, pool: Pool, clock: Clock, **changes: Any) -> str:
    """Have a run under way whose target got the token of attempt 1."""
    await create(http, name="r", target=CALLBACK, **changes)
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    return str(decision.runs[0].id)


async def settle(pool: Pool, run: str, status: RunStatus, now_ms: int) -> None:
    """Settle attempt 1, as its replica does: `running` says that the target took it."""
    async with transaction(pool) as conn:
        ended = Settlement(
            id=UUID(run),
            job_id=UUID(int=0),
            scheduled_ms=scheduled_ms_of(UUID(run)),
            attempt=1,
            status=status,
            reason="status" if status == "failed" else None,
            started_ms=now_ms,
            finished_ms=now_ms,
            next_attempt_ms=now_ms + 5000 if status == "due" else None,
            timeout_ms=5_400_000,
        )
        assert await completion.settle_callbacks(conn, [ended], now_ms=now_ms)


async def awaiting(http: httpx2.AsyncClient, pool: Pool, clock: Clock, **changes: Any) -> str:
    run = await sent(http, pool, clock, **changes)
    await settle(pool, run, "running", MORNING_MS + HOUR_MS)
    return run


async def report(
    http: httpx2.AsyncClient,
    run: str,
    said: Json | None = None,
    *,
    verb: str = "complete",
    given: str | None = None,
) -> httpx2.Response:
    given = token(KEY, UUID(run), 1) if given is None else given
    return await http.post(
        f"/runs/{run}/{verb}",
        headers={b"Authorization": f"Bearer {given}".encode()},
        json=None if verb == "heartbeat" else said or {"status": "succeeded"},
    )


async def test_a_callback_job_is_created_with_its_time_out_in_normal_form(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, target=CALLBACK)
    assert made["target"]["completion"] == "callback"
    assert made["target"]["completion_timeout"] == "1h30m"


@pytest.mark.parametrize(
    ("callbacks", "fix"),
    [
        (Callbacks(keys=(KEY,)), "SCHEDULER_PUBLIC_URL"),
        (Callbacks(url="http://127.0.0.1"), "SCHEDULER_SECRET_KEYS"),
        (Callbacks(), "SCHEDULER_SECRET_KEYS"),
    ],
    ids=["no address", "no key", "neither"],
)
async def test_without_an_address_or_a_key_callbacks_are_refused_with_the_fix(
    deps: Deps, callbacks: Callbacks, fix: str
) -> None:
    transport = httpx2.ASGITransport(build_app(replace(deps, callbacks=callbacks)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.post("/jobs", json=body(target={"completion": "callback"}))
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "/target/completion"
        assert fix in error["detail"]
        assert (await http.post("/jobs", json=body())).status_code == 201


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        ({"completion": "callback", "completion_timeout": "8d"}, "/target/completion_timeout"),
        ({"completion": "callback", "completion_timeout": "999ms"}, "/target/completion_timeout"),
        ({"completion": "callback", "completion_timeout": "soon"}, "/target/completion_timeout"),
        ({"completion_timeout": "1h"}, "/target/completion_timeout"),
        ({"completion": "hook"}, "/target/completion"),
    ],
)
async def test_what_can_not_be_awaited_is_refused(
    http: httpx2.AsyncClient, target: Json, pointer: str
) -> None:
    answer = await http.post("/jobs", json=body(target=target))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_run_that_awaits_shows_until_when(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    seen = (await http.get(f"/runs/{run}")).json()
    assert (seen["status"], seen["replica"]) == ("running", None)
    assert seen["completion"] == {
        "until": "2026-01-05T10:30:00Z",
        "status": None,
        "detail": None,
    }
    told = (await http.get("/jobs/r/explain?at=2026-01-05T09:00:00Z")).json()
    assert (told["verdict"], told["reason"], told["run_id"]) == ("fired", "awaiting", run)
    assert "2026-01-05T10:30:00Z" in told["detail"]


async def test_a_report_ends_it_and_is_shown(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    clock.ms = MORNING_MS + HOUR_MS + 2500
    answer = await report(http, run, {"status": "failed", "detail": "the disk is full"})
    told = answer.json()
    assert (answer.status_code, told["status"], told["reason"]) == (200, "failed", "completion")
    assert (told["finished_at"], told["duration_ms"]) == ("2026-01-05T09:00:02.500Z", 2500)
    assert told["completion"]["detail"] == "the disk is full"
    explained = (await http.get("/jobs/r/explain?at=2026-01-05T09:00:00Z")).json()
    assert explained["reason"] == "completion"


async def test_the_same_report_again_is_answered_and_another_is_refused(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    said = {"status": "succeeded", "detail": "42 rows"}
    first = (await report(http, run, said)).json()
    clock.ms = MORNING_MS + 2 * HOUR_MS
    again = await report(http, run, said)
    assert (again.status_code, again.json()) == (200, first)
    for other in ({"status": "failed"}, {"status": "succeeded", "detail": "43 rows"}):
        answer = await report(http, run, other)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (await http.get(f"/runs/{run}")).json()["status"] == "succeeded"


async def test_a_second_report_before_the_attempt_is_settled_is_refused_too(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await sent(http, pool, clock)
    first = await report(http, run)
    assert (first.status_code, first.json()["status"]) == (200, "running")
    assert first.json()["completion"]["status"] == "succeeded"
    assert (await report(http, run)).status_code == 200
    assert (await report(http, run, {"status": "failed"})).status_code == 409
    assert (await report(http, run, verb="heartbeat")).status_code == 409
    await settle(pool, run, "failed", clock.ms or 0)
    assert (await http.get(f"/runs/{run}")).json()["status"] == "succeeded"


@pytest.mark.parametrize("verb", ["complete", "heartbeat"])
async def test_nothing_but_the_token_of_this_run_counts(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, verb: str
) -> None:
    run = await awaiting(http, pool, clock)
    good = token(KEY, UUID(run), 1)
    bare = await http.post(
        f"/runs/{run}/{verb}", json=None if verb == "heartbeat" else {"status": "failed"}
    )
    assert bare.status_code == 401
    for given in (
        "",
        "x",
        good[:-1],
        good + "A",
        good.replace("ct_1", "ct_2"),
        good.replace("ct_1", "ct_٣"),
        "ct_" + "9" * 4000 + "_x",
        token(b"x" * 32, UUID(run), 1),
        token(KEY, UUID(int=UUID(run).int + 1), 1),
    ):
        answer = await report(http, run, verb=verb, given=given)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), given
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="scheduler-svc"')
    assert (await http.get(f"/runs/{run}")).json()["status"] == "running"


async def test_a_run_that_is_not_there_tells_nothing_to_who_has_no_token(
    http: httpx2.AsyncClient,
) -> None:
    nobody = "019b8f3a-1c00-8a4e-9d3b-6f2c1e7a5b40"
    assert (await report(http, nobody, given="ct_1_x")).status_code == 401
    answer = await report(http, nobody)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await report(http, "nothing", given="ct_1_x")).status_code == 401


async def test_a_token_of_an_earlier_attempt_is_known_and_forbidden(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    await pool.execute("UPDATE runs SET attempt_count = 2")
    answer = await report(http, run)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await report(http, run, given=token(KEY, UUID(run), 2))).status_code == 200


async def test_tokens_of_an_older_key_of_the_ring_still_count(
    deps: Deps, http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    rotated = replace(deps.callbacks, keys=(b"n" * 32, KEY))
    transport = httpx2.ASGITransport(build_app(replace(deps, callbacks=rotated)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        assert (await report(other, run)).status_code == 200


async def test_a_heartbeat_answers_with_the_new_time_out(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    clock.ms = MORNING_MS + HOUR_MS + 60_000
    answer = await report(http, run, verb="heartbeat")
    assert answer.json()["completion"]["until"] == "2026-01-05T10:31:00Z"


async def test_cancelling_a_run_that_awaits_ends_it_at_once_and_a_late_report_is_refused(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    answer = await http.post(f"/runs/{run}/cancel")
    told = answer.json()
    assert (answer.status_code, told["status"], told["reason"]) == (200, "cancelled", "cancelled")
    for verb in ("complete", "heartbeat"):
        late = await report(http, run, verb=verb)
        assert (late.status_code, late.json()["code"]) == (409, "conflict")


async def test_a_report_lets_the_run_behind_it_go(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock, overlap="queue")
    behind = (await http.post("/jobs/r/trigger")).json()
    queued = "SELECT queued FROM runs WHERE id = $1"
    assert await pool.fetchval(queued, UUID(behind["id"])) is True
    await report(http, run)
    assert await pool.fetchval(queued, UUID(behind["id"])) is False


async def test_a_trigger_under_skip_is_refused_while_a_run_awaits(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await awaiting(http, pool, clock)
    answer = await http.post("/jobs/r/trigger")
    assert (answer.status_code, answer.json()["code"]) == (409, "overlap")


async def test_a_deleted_job_leaves_its_run_to_be_reported(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    run = await awaiting(http, pool, clock)
    assert (await http.delete("/jobs/r")).status_code == 204
    assert (await report(http, run)).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({}, "/status"),
        ({"status": "done"}, "/status"),
        ({"status": "failed", "detail": "x" * 4097}, "/detail"),
        ({"status": "failed", "why": "x"}, "/why"),
    ],
)
async def test_a_report_that_says_nothing_is_refused(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, said: Json, pointer: str
) -> None:
    run = await awaiting(http, pool, clock)
    answer = await http.post(
        f"/runs/{run}/complete",
        headers={"Authorization": f"Bearer {token(KEY, UUID(run), 1)}"},
        json=said,
    )
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_target_reports_without_an_api_key_of_a_run_in_any_namespace_and_is_not_limited(
    http: httpx2.AsyncClient, deps: Deps, pool: Pool, clock: Clock
) -> None:
    theirs = {"Scheduler-Namespace": "other"}
    sent = body(name="r", target=CALLBACK)
    assert (await http.post("/jobs", json=sent, headers=theirs)).status_code == 201
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    run = str(decision.runs[0].id)
    await settle(pool, run, "running", clock.ms)
    gate = Gate(pool, deps.now_ms, required=True)
    meter = Limiter(pool, [Policy("writes", 1), Policy("logins", 1)])
    transport = httpx2.ASGITransport(build_app(replace(deps, gate=gate, meter=meter)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as target:
        assert (await target.post("/jobs", json=body())).status_code == 401
        for _ in range(3):
            assert (await report(target, run, given="ct_1_forged")).status_code == 401
        for _ in range(3):
            assert (await report(target, run, verb="heartbeat")).status_code == 200
        for _ in range(3):
            answer = await report(target, run)
            assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
            assert answer.json()["namespace"] == "other"
