"""The pages on clients and receivers: their examples run, and do what the pages say."""

import asyncio
import json
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest

from commands import free_port, program
from fleet import replica
from receiver import answer, receiving
from scheduler_client import AsyncScheduler, Delivery, JobSpec, Scheduler
from sealing import KEY_TEXT

ROOT = Path(__file__).parents[2]
RECEIVERS = (ROOT / "docs" / "receivers.md").read_text()
CLIENTS = (ROOT / "docs" / "clients.md").read_text()
README = (ROOT / "clients" / "python" / "README.md").read_text()
PACKAGE = str(ROOT / "clients" / "python" / "src")
SECRET = "whsec_" + "A" * 32
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")

pytestmark = pytest.mark.timeout(120)


def blocks(page: str, info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def block(page: str, info: str) -> str:
    (one,) = blocks(page, info)
    return str(one)


def made(source: str) -> dict[str, Any]:
    """Run a block of definitions, and return what it defines."""
    names: dict[str, Any] = {}
    exec(compile(source, "page", "exec"), names)
    return names


async def test_the_python_of_the_readme_and_of_the_page_runs(dsn: str) -> None:
    async with replica(dsn) as service, receiving() as target:
        sources = [*blocks(README, "python"), *blocks(CLIENTS, "python")]
        assert len(sources) == 3
        told = []
        for source in sources:
            text = source.replace("http://127.0.0.1:8080", service.url(""))
            text = text.replace("127.0.0.1:9000", f"127.0.0.1:{target.port}")
            env = {"PYTHONPATH": PACKAGE, "SCHEDULER_URL": service.url("")}
            async with program(sys.executable, "-c", text, env=env) as running:
                assert await running.end() == 0, running.output
                told.append(running.lines)
    hello, nothing, shown = told
    assert hello[0].startswith("hello fires next at 20")
    assert hello[1] == "succeeded None [200]"
    assert hello[-1].startswith("name_taken ")
    assert nothing == []
    assert shown[0].startswith("At 02:30")
    assert "'reads': RateLimit" in shown[-1] or shown[-1].endswith("{}")


async def test_the_whole_receiver_of_the_page_works_once(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(block(RECEIVERS, "python app"))
    port = free_port()
    async with (
        replica(dsn, secret_keys=KEY_TEXT) as service,
        AsyncScheduler(service.url("")) as scheduler,
    ):
        secret = (await scheduler.request("POST", "/signing-secrets", body={})).body["secret"]
        env = {"PYTHONPATH": f"{PACKAGE}:{tmp_path}", "SIGNING_SECRETS": f"{SECRET} {secret}"}
        command = (sys.executable, "-m", "uvicorn", "page:app", "--port", str(port))
        async with program(*command, env=env) as running:
            await running.line("Application startup complete")
            spec: JobSpec = {
                "schedule": {"every": "1h"},
                "target": {"url": f"http://127.0.0.1:{port}/report", "body": {"a": 1}},
            }
            run = await scheduler.trigger_job(await scheduler.put_job("page", spec))
            run = await scheduler.wait(run, seconds=60)
            assert (run.status, run.attempts[0].status_code) == ("succeeded", 204)
            await running.line(f"working on {run.id} {{'a': 1}}")


async def test_the_mark_in_the_database_of_the_work_is_made_with_the_work(
    empty_database: str,
) -> None:
    count = made(block(RECEIVERS, "python database"))["count"]
    (removal,) = re.findall(r"`(DELETE FROM deliveries [^`]*)`", RECEIVERS)
    async with asyncpg.create_pool(empty_database, min_size=1, max_size=5) as pool:
        await pool.execute(block(RECEIVERS, "sql"))
        await pool.execute("CREATE TABLE totals AS SELECT 0 AS calls")
        first, second = delivery("a"), delivery("b")
        assert sorted(await asyncio.gather(*(count(pool, first) for _ in range(5)))) == [
            False,
            False,
            False,
            False,
            True,
        ]
        assert await count(pool, second) is True
        assert await pool.fetchval("SELECT calls FROM totals") == 2
        await pool.execute("ALTER TABLE totals ADD CHECK (calls < 3)")
        with pytest.raises(asyncpg.CheckViolationError):
            await count(pool, delivery("c"))
        assert await pool.fetchval("SELECT count(*) FROM deliveries") == 2
        await pool.execute("UPDATE deliveries SET at = at - interval '8 days' WHERE id = 'a'")
        await pool.execute(removal)
        assert await pool.fetchval("SELECT id FROM deliveries") == "b"


def delivery(name: str, body: bytes = b"[1, 2]") -> Delivery:
    return Delivery(id=name, sent_at=datetime.now(UTC), body=body, completion_token="t0ken")


async def test_the_report_of_the_page_says_how_it_ended() -> None:
    work = made(block(RECEIVERS, "python report"))["work"]
    run = {"id": "r", "job_id": "j", "trigger": "manual", "status": "running"}
    text = json.dumps(run | {"scheduled_for": "2026-01-05T09:00:00Z"}).encode()
    async with receiving() as service:
        service.default = answer(200, text, {"Content-Type": "application/json"})
        with Scheduler(service.url("")) as scheduler:
            await asyncio.to_thread(work, scheduler, delivery("r"))
            await asyncio.to_thread(work, scheduler, delivery("r", b"{"))
        bodies = [json.loads(one.body) for one in service.requests]
        assert {one.headers["authorization"] for one in service.requests} == {"Bearer t0ken"}
    assert bodies[0] == {"status": "succeeded", "detail": "2 rows"}
    assert bodies[1]["status"] == "failed"


async def test_an_identity_token_says_who_calls_and_another_says_nothing(dsn: str) -> None:
    caller = made(block(RECEIVERS, "python identity"))["caller"]
    port = free_port()
    issuer, audience = f"http://127.0.0.1:{port}", "https://reports.example.com"
    async with (
        receiving() as target,
        replica(dsn, secret_keys=KEY_TEXT, port=str(port), public_url=issuer),
        AsyncScheduler(issuer) as scheduler,
    ):
        spec: JobSpec = {
            "schedule": {"every": "1h"},
            "target": {"url": target.url(), "auth": {"type": "oidc", "audience": audience}},
        }
        job = await scheduler.put_job("who", spec)
        await scheduler.wait(await scheduler.trigger_job(job), seconds=60)
        token = target.requests[0].headers["authorization"].removeprefix("Bearer ")
        keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
        claims = await asyncio.to_thread(caller, token, issuer, audience, keys)
        assert claims["job_name"] == "who"
        wrong = [(token, issuer, "https://other"), (token, "https://other", audience)]
        for given, by, to in [*wrong, (token[:-8] + "AAAAAAAA", issuer, audience)]:
            with pytest.raises(jwt.InvalidTokenError):
                await asyncio.to_thread(caller, given, by, to, keys)


VECTOR = """
import { verified } from "./page.mjs";
const headers = { "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
  "webhook-signature": "v1,AAAA v1,/Xy7FLfFISa1TZH7WLT+0x/orG5MlcutAFOpVan3/00=" };
const [body, secret] = ['{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw=="];
const now = 1614265330;
const changed = (name, text) => ({ ...headers, [name]: text });
console.log(JSON.stringify([
  verified(headers, body, secret, now),
  verified(headers, Buffer.from(body), secret, now + 299),
  verified(headers, body + " ", secret, now),
  verified(headers, body, "whsec_AAAA", now),
  verified(headers, body, secret, now + 301),
  verified(headers, body, secret),
  verified(changed("webhook-id", "other"), body, secret, now),
  verified(changed("webhook-timestamp", "x"), body, secret, now),
  verified(changed("webhook-signature", "v1,"), body, secret, now),
  verified({}, body, secret, now),
]));
"""


@needs_node
async def test_the_verification_by_hand_believes_what_openssl_signed_and_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "page.mjs").write_text(block(RECEIVERS, "js"))
    (tmp_path / "vector.mjs").write_text(VECTOR)
    async with program("node", str(tmp_path / "vector.mjs")) as running:
        assert await running.end() == 0, running.output
        assert json.loads(running.output) == [True, True, *[False] * 8]


def test_the_page_on_clients_names_every_method() -> None:
    named = set(re.findall(r"`(\w+)(?:\(\.\.\.\))?`", CLIENTS))
    methods = {name for name in vars(Scheduler) if not name.startswith("_")} - {"close"}
    assert methods <= named


@pytest.mark.parametrize(
    "page", ["docs/receivers.md", "docs/clients.md", "clients/python/README.md"]
)
def test_every_file_that_the_pages_point_to_is_there(page: str) -> None:
    here = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)", here.read_text())
    assert links
    missing = [link for link in links if "://" not in link and not (here.parent / link).exists()]
    assert missing == []
