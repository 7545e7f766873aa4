"""The audit log over HTTP: each change leaves one entry, and nothing else leaves any."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest

from auditing import actions, log, pending, seal_pending
from factories import MORNING_MS, Json, body, claim, create, settle
from scheduler_svc.api.audit_table import AUDITED, NOT_AUDITED
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.routes import ROUTES
from scheduler_svc.domain.audit import IDS_MAX, Action
from scheduler_svc.domain.audit_change import CHANGED
from scheduler_svc.domain.completion import token
from scheduler_svc.store.pool import Pool
from serving import Clock

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
ROOT = {"Authorization": f"Bearer {BOOTSTRAP}"}
HOUR_MS = 3_600_000
RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
CALLBACK = {"completion": "callback", "completion_timeout": "90m"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


@pytest.fixture
def keyed(deps: Deps, pool: Pool, clock: Clock) -> Deps:
    gate = Gate(pool, clock, required=True, bootstrap_key=BOOTSTRAP)
    return msgspec.structs.replace(deps, gate=gate)


HELD = "INSERT INTO holds (namespace, reason, since) VALUES ('team', 'restored', now())"


@dataclass
class Walker:
    """Makes requests, and holds what each left in the log to the table."""

    http: httpx2.AsyncClient
    pool: Pool
    did: dict[str, set[Action]] = field(default_factory=dict)

    async def do(
        self,
        operation: str,
        path: str,
        sent: Any = None,
        *,
        leaves: int = 1,
        headers: dict[str, str] | None = None,
    ) -> Json:
        route = next(one for one in ROUTES if one.operation_id == operation)
        before = {row["id"] for row in await pending(self.pool)}
        name = f"walk-{operation}-{len(before)}"
        answer = await self.http.request(
            route.method, path, json=sent, headers={"X-Request-ID": name, **(headers or {})}
        )
        assert answer.status_code < 300, (operation, answer.text)
        new = [row for row in await pending(self.pool) if row["id"] not in before]
        assert len(new) == leaves, (operation, [row["action"] for row in new])
        for row in new:
            assert row["action"] in AUDITED[operation], (operation, row["action"])
            assert (row["request_id"], row["address"]) == (name, "127.0.0.1")
            self.did.setdefault(operation, set()).add(Action(row["action"]))
        return answer.json() if answer.content else {}

    async def entry(self) -> Any:
        """The newest entry."""
        return (await pending(self.pool))[-1]


@pytest.fixture
def walker(http: httpx2.AsyncClient, pool: Pool) -> Walker:
    return Walker(http, pool)


def test_every_operation_that_may_change_something_is_in_the_table() -> None:
    changing = {route.operation_id for route in ROUTES if route.method not in {"GET", "HEAD"}}
    assert changing == {*AUDITED, *NOT_AUDITED}
    assert not set(AUDITED) & set(NOT_AUDITED)


async def test_each_operation_leaves_one_entry_of_its_action(
    walker: Walker, pool: Pool, clock: Clock
) -> None:
    do = walker.do
    hourly = {"cron": "0 * * * *"}
    job = await do("create_job", "/jobs", body(name="j", schedule=hourly))
    await do("put_job", "/jobs/j", body(name="j", schedule=hourly, priority=1))
    await do("put_job", "/jobs/other", body())
    await do("patch_job", "/jobs/j", {"priority": 2})
    await do("pause_job", "/jobs/j/pause", {"reason": "why"})
    await do("pause_job", "/jobs/j/pause", {"until": "2026-02-01T00:00:00Z"})
    await do("resume_job", "/jobs/j/resume")
    run = await do("trigger_job", "/jobs/j/trigger")
    await do("cancel_run", f"/runs/{run['id']}/cancel")
    backfill = await do("create_backfill", "/jobs/j/backfill", RANGE)
    await do("cancel_backfill", f"/backfills/{backfill['id']}/cancel")
    wanted = {"filter": {"status": "cancelled", "job_id": job["id"]}, "max_per_minute": 1}
    replay = await do("create_replay", "/runs/replay", wanted)
    await do("cancel_replay", f"/replays/{replay['id']}/cancel")
    await do("replay_run", f"/runs/{run['id']}/replay")
    await do("put_concurrency_key", "/concurrency-keys/k", {"max_parallel": 2})
    await do("delete_concurrency_key", "/concurrency-keys/k")
    await do("put_namespace", "/namespaces/team", {"egress": {"allow": [], "deny": ["a.test"]}})
    await pool.execute(HELD)
    await do("release_namespace", "/namespaces/team/release", {"missed": "once"})
    await do("release_namespace", "/namespaces/team/release", {"missed": "once"}, leaves=0)
    key = await do("create_api_key", "/api-keys", {"name": "k", "scopes": ["jobs:read"]})
    await do("rotate_api_key", f"/api-keys/{key['id']}/rotate")
    await do("delete_api_key", f"/api-keys/{key['id']}")
    await do("put_secret", "/secrets/token", {"value": "hidden-value"})
    await do("delete_secret", "/secrets/token")
    signing = await do("create_signing_secret", "/signing-secrets", {})
    await do("delete_signing_secret", f"/signing-secrets/{signing['id']}?after=1h")
    await do("delete_signing_secret", f"/signing-secrets/{signing['id']}")
    await do("create_jobs", "/jobs/bulk", {"jobs": [body(name=f"b{n}") for n in range(3)]})
    for action in ("pause", "resume", "trigger", "delete"):
        sent = {"action": action, "filter": {"name_prefix": "b"}}
        await do("act_on_jobs", "/jobs/bulk-actions", sent)
    mine = {"owner": "me", "prune": True}
    await do("apply_jobs", "/jobs/apply", {**mine, "jobs": [body(name="f")]})
    await do("apply_jobs", "/jobs/apply", {**mine, "jobs": [body(name="f", priority=1)]})
    await do("apply_jobs", "/jobs/apply", {**mine, "jobs": []})
    await do("delete_job", "/jobs/j")
    await do("create_job", "/jobs", body(name="c", target=CALLBACK))
    clock.ms = MORNING_MS + HOUR_MS
    called = next(
        run
        for one in await claim(pool, now_ms=clock.ms)
        for run in one.runs
        if one.job.definition.target.completion == "callback"
    )
    bearer = {"Authorization": f"Bearer {token(b'k' * 32, called.id, 1)}"}
    report = {"status": "succeeded", "detail": "all of it"}
    await do("complete_run", f"/runs/{called.id}/complete", report, headers=bearer)
    assert (await walker.entry())["actor_kind"] == "target"
    assert walker.did == {name: set(known) for name, known in AUDITED.items()}


async def test_what_changes_nothing_leaves_nothing(
    walker: Walker, http: httpx2.AsyncClient
) -> None:
    do = walker.do
    await create(http, name="j")
    await do("put_job", "/jobs/j", body(name="j"), leaves=0)
    await do("put_job", "/jobs/j?dry_run=true", body(priority=3), leaves=0)
    await do("patch_job", "/jobs/j", {}, leaves=0)
    await do("patch_job", "/jobs/j?dry_run=true", {"priority": 3}, leaves=0)
    await do("create_job", "/jobs?dry_run=true", body(), leaves=0)
    await do("resume_job", "/jobs/j/resume", leaves=0)
    await do("pause_job", "/jobs/j/pause")
    await do("pause_job", "/jobs/j/pause", leaves=0)
    await do("create_backfill", "/jobs/j/backfill", {**RANGE, "dry_run": True}, leaves=0)
    only_count = {"filter": {"status": "failed"}, "dry_run": True}
    await do("create_replay", "/runs/replay", only_count, leaves=0)
    await do("put_secret", "/secrets/s", {"value": "same"})
    await do("put_secret", "/secrets/s", {"value": "same"}, leaves=0)
    await do("put_namespace", "/namespaces/n", {})
    await do("put_namespace", "/namespaces/n", {}, leaves=0)
    await do("put_concurrency_key", "/concurrency-keys/k", {"max_parallel": 2})
    await do("put_concurrency_key", "/concurrency-keys/k", {"max_parallel": 2}, leaves=0)
    await do("preview_schedule", "/schedules/preview", {"schedule": {"every": "1h"}}, leaves=0)
    nobodys = {"action": "pause", "filter": {"name_prefix": "zz"}}
    await do("act_on_jobs", "/jobs/bulk-actions", nobodys, leaves=0)
    await do("apply_jobs", "/jobs/apply", {"jobs": [body(name="j")]}, leaves=0)
    more = {"jobs": [body(name="more")], "dry_run": True}
    await do("apply_jobs", "/jobs/apply", more, leaves=0)


async def test_what_is_refused_leaves_nothing(http: httpx2.AsyncClient, pool: Pool) -> None:
    made = await create(http, name="j")
    before = await actions(pool)
    stale = {"If-Match": '"99"'}
    for method, path, sent, headers, status in (
        ("POST", "/jobs", body(name="j"), {}, 409),
        ("POST", "/jobs", {}, {}, 422),
        ("PUT", "/jobs/j", body(), stale, 412),
        ("PATCH", "/jobs/j", {"priority": 9}, stale, 412),
        ("DELETE", "/jobs/j", None, stale, 412),
        ("POST", "/jobs/j/pause", {"until": "2020-01-01T00:00:00Z"}, {}, 422),
        ("POST", "/jobs/bulk", {"jobs": [body(name="x"), body(name="j")]}, {}, 409),
        ("DELETE", f"/api-keys/{made['id']}", None, {}, 404),
        ("DELETE", "/secrets/none", None, {}, 404),
        ("POST", f"/runs/{made['id']}/cancel", None, {}, 404),
    ):
        answer = await http.request(method, path, json=sent, headers=headers)
        assert answer.status_code == status, (method, path, answer.text)
    assert await actions(pool) == before


async def test_a_request_that_is_repeated_under_its_key_leaves_one_entry(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    headers = {"Idempotency-Key": "once"}
    for _ in range(3):
        assert (await http.post("/jobs", json=body(), headers=headers)).status_code == 201
    assert await actions(pool) == ["job.created"]


async def test_an_effect_that_can_not_be_written_down_is_not_made(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    """No effect without an entry: with the log gone, a change is an error and nothing else."""
    await pool.execute("ALTER TABLE audit_pending RENAME TO audit_away")
    try:
        assert (await http.post("/jobs", json=body(name="j"))).status_code == 500
        assert (await http.get("/jobs/j")).status_code == 404
    finally:
        await pool.execute("ALTER TABLE audit_away RENAME TO audit_pending")


async def test_an_entry_says_what_was_and_what_became_of_it(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(http, name="j", priority=1, labels={"team": "a"})
    await http.patch("/jobs/j", json={"priority": 5, "labels": {"team": None, "tier": "1"}})
    await http.post("/jobs/j/pause", json={"reason": "moving"})
    await http.delete("/jobs/j")
    created, updated, paused, deleted = await pending(pool)
    assert (created["resource_kind"], created["resource_id"]) == ("job", made["id"])
    assert (created["resource_name"], created["job_id"]) == ("j", UUID(made["id"]))
    assert created["before"] is None
    assert json.loads(created["after"])["priority"] == 1
    assert json.loads(updated["before"]) == {
        "priority": 1,
        "labels": {"team": "a", "tier": None},
        "revision": 1,
    }
    assert json.loads(updated["after"]) == {
        "priority": 5,
        "labels": {"team": None, "tier": "1"},
        "revision": 2,
    }
    assert json.loads(paused["after"])["pause"]["reason"] == "moving"
    assert json.loads(deleted["before"])["priority"] == 5
    assert deleted["after"] is None


async def test_no_secret_is_in_any_entry_and_one_that_changed_shows_as_changed(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    secret = {"Cookie": "canary-one", "X-Api-Key": "canary-two"}
    auth = {"type": "basic", "username": "u", "password": "canary-three"}
    await create(http, name="j", target={"headers": secret, "auth": auth})
    again = {"Cookie": "canary-four", "X-Api-Key": "***"}
    patched = await http.patch("/jobs/j", json={"target": {"headers": again}})
    assert patched.status_code == 200, patched.text
    await http.post("/jobs/j/trigger", json={"headers": {"Cookie": "canary-five"}})
    await http.put("/secrets/s", json={"value": "canary-six"})
    key = (await http.post("/api-keys", json={"name": "k", "scopes": ["admin"]})).json()["key"]
    signing = (await http.post("/signing-secrets", json={})).json()["secret"]
    await http.delete("/jobs/j")
    whole = repr([tuple(row.values()) for row in await pending(pool)])
    assert "canary" not in whole
    assert "sealed:" not in whole
    assert key not in whole
    assert signing not in whole
    created, updated, *_ = await pending(pool)
    assert json.loads(created["after"])["target"]["headers"]["Cookie"] == "***"
    assert json.loads(updated["after"])["target"]["headers"] == {"Cookie": CHANGED}


async def test_a_long_side_is_cut_to_its_bound_and_names_what_it_left_out(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="j", target={"body": {"pad": "x" * 100_000}})
    (entry,) = await pending(pool)
    assert len(entry["after"]) <= 8192
    left_out = json.loads(entry["after"])["target"]["body"]["pad"]
    assert left_out["omitted_bytes"] == 100_002


async def test_a_bulk_request_leaves_one_entry_that_names_some_and_digests_the_rest(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    count = IDS_MAX + 50
    answer = await http.post("/jobs/bulk", json={"jobs": [body() for _ in range(count)]})
    ids = [item["id"] for item in answer.json()["items"]]
    (entry,) = await pending(pool)
    many = json.loads(entry["many"])
    assert (many["count"], many["ids"]) == (count, ids[:IDS_MAX])
    assert len(many["rest_sha256"]) == 64


async def test_a_partial_bulk_request_counts_what_was_made(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="taken")
    sent = {"jobs": [body(name="taken"), body(name="free")]}
    await http.post("/jobs/bulk?partial=true", json=sent)
    assert json.loads((await pending(pool))[-1]["many"])["count"] == 1


class TestWithKeys:
    @pytest.fixture
    def deps(self, keyed: Deps) -> Deps:
        return keyed

    async def test_the_actor_is_the_credential_by_its_id_and_name(
        self, http: httpx2.AsyncClient, pool: Pool
    ) -> None:
        sent = {"name": "ci", "scopes": ["jobs:write"], "namespace": "team-a"}
        made = (await http.post("/api-keys", json=sent, headers=ROOT)).json()
        bearer = {"Authorization": f"Bearer {made['key']}"}
        assert (await http.post("/jobs", json=body(), headers=bearer)).status_code == 201
        by_root, by_key = await pending(pool)
        assert (by_root["actor_kind"], by_root["actor_id"]) == ("bootstrap", "bootstrap")
        assert by_root["namespace"] == "team-a"
        assert (by_key["actor_kind"], by_key["actor_id"]) == ("key", f"key:{made['id']}")
        assert (by_key["actor_name"], by_key["namespace"]) == ("ci", "team-a")

    async def test_credentials_that_fail_leave_nothing(
        self, http: httpx2.AsyncClient, pool: Pool
    ) -> None:
        for headers in ({}, {"Authorization": "Bearer sk_wrong"}):
            assert (await http.post("/jobs", json=body(), headers=headers)).status_code == 401
        assert await actions(pool) == []

    async def test_a_key_of_one_namespace_sees_its_own_entries_alone(
        self, http: httpx2.AsyncClient, pool: Pool
    ) -> None:
        keys = {}
        for name in ("team-a", "team-b"):
            sent = {"name": name, "scopes": ["admin"], "namespace": name}
            made = (await http.post("/api-keys", json=sent, headers=ROOT)).json()
            keys[name] = {"Authorization": f"Bearer {made['key']}"}
            await http.post("/jobs", json=body(), headers=keys[name])
        sent = {"name": "all", "scopes": ["admin"], "namespace": "*"}
        await http.post("/api-keys", json=sent, headers=ROOT)
        await seal_pending(pool)
        mine = (await http.get("/audit", headers=keys["team-a"])).json()["items"]
        assert [(one["action"], one["namespace"]) for one in mine] == [
            ("job.created", "team-a"),
            ("api_key.created", "team-a"),
        ]
        other = f"/audit?actor={mine[0]['actor']['id']}"
        assert (await http.get(other, headers=keys["team-b"])).json()["items"] == []
        assert len((await http.get("/audit", headers=ROOT)).json()["items"]) == 5
        named = {**ROOT, "Scheduler-Namespace": "team-b"}
        assert len((await http.get("/audit", headers=named)).json()["items"]) == 2

    async def test_reading_it_needs_admin(self, http: httpx2.AsyncClient) -> None:
        sent = {"name": "k", "scopes": ["jobs:write", "runs:write", "events:read"]}
        made = (await http.post("/api-keys", json=sent, headers=ROOT)).json()
        bearer = {"Authorization": f"Bearer {made['key']}"}
        assert (await http.get("/audit", headers=bearer)).status_code == 403


async def test_the_list_is_newest_first_and_goes_on_page_by_page(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    for n in range(7):
        await create(http, name=f"j{n}")
    assert (await http.get("/audit")).json() == {"items": [], "next_cursor": None}
    await seal_pending(pool)
    seen: list[str] = []
    path = "/audit?limit=3"
    while path:
        answer = await http.get(path)
        seen += [item["resource"]["name"] for item in answer.json()["items"]]
        link = answer.headers.get("link")
        path = link[1 : link.index(">")] if link else ""
    assert seen == [f"j{n}" for n in reversed(range(7))]
    cursor = (await http.get("/audit?limit=3")).json()["next_cursor"]
    other = await http.get(f"/audit?limit=3&action=job.deleted&cursor={cursor}")
    assert other.status_code == 422


async def test_an_entry_is_shown_whole_and_in_its_place(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(http, name="j")
    await http.patch("/jobs/j", json={"priority": 1}, headers={"X-Request-ID": "mine"})
    await seal_pending(pool)
    second, first = (await http.get("/audit")).json()["items"]
    assert second["prev_hash"] == first["hash"]
    assert (first["seq"], first["prev_hash"]) == (1, "00" * 32)
    assert second | {"id": 0, "at": 0, "hash": 0, "prev_hash": 0} == {
        "seq": 2,
        "id": 0,
        "at": 0,
        "namespace": "default",
        "address": "127.0.0.1",
        "actor": {"kind": "anyone", "id": "anyone", "name": None},
        "request_id": "mine",
        "action": "job.updated",
        "resource": {"kind": "job", "id": made["id"], "name": "j"},
        "job_id": made["id"],
        "before": {"priority": None, "revision": 1},
        "after": {"priority": 1, "revision": 2},
        "many": None,
        "hash": 0,
        "prev_hash": 0,
    }


async def test_each_filter_narrows_and_all_of_them_hold_together(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    one = await create(http, name="one")
    await http.patch("/jobs/one", json={"priority": 1}, headers={"X-Request-ID": "r1"})
    await create(http, name="two")
    run = (await http.post("/jobs/one/trigger")).json()
    await http.post(f"/runs/{run['id']}/cancel")
    await http.put("/secrets/s", json={"value": "v"})
    await seal_pending(pool)
    rows = await log(pool)
    third = rows[2]["at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def found(query: str) -> list[str]:
        answer = await http.get(f"/audit?{query}")
        assert answer.status_code == 200, answer.text
        return [item["action"] for item in answer.json()["items"]]

    assert await found("action=job.created") == ["job.created", "job.created"]
    assert await found(f"job={one['id']}") == [
        "run.cancelled",
        "job.triggered",
        "job.updated",
        "job.created",
    ]
    assert await found(f"job={one['id']}&action=job.updated") == ["job.updated"]
    assert await found("request_id=r1") == ["job.updated"]
    assert await found("resource=secret") == ["secret.updated"]
    assert await found("resource_id=s") == ["secret.updated"]
    assert await found(f"resource=secret&resource_id={one['id']}") == []
    assert len(await found("actor=anyone")) == 6
    assert await found("actor=bootstrap") == []
    later, sooner = await found(f"since={third}"), await found(f"until={third}")
    assert len(later) + len(sooner) == 6
    assert "secret.updated" in later
    assert "job.updated" in sooner
    for wrong in ("action=job.made", "resource=thing", "since=yesterday", "who=me"):
        assert (await http.get(f"/audit?{wrong}")).status_code == 422, wrong


async def test_a_run_that_was_settled_and_replayed_is_found_by_its_job(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = await create(http, name="j")
    run = (await http.post("/jobs/j/trigger")).json()
    await pool.execute(
        "UPDATE runs SET status = 'running', replica = gen_random_uuid(), attempt_count = 1"
    )
    await settle(pool, run["id"], job["id"], now_ms=MORNING_MS)
    await http.post(f"/runs/{run['id']}/replay")
    await seal_pending(pool)
    answer = await http.get(f"/audit?job={job['id']}&action=run.replayed")
    (entry,) = answer.json()["items"]
    assert entry["resource"] == {"kind": "run", "id": run["id"], "name": None}
