"""The examples of receivers as programs, called by a real service; and what they do not believe."""

import asyncio
import base64
import hashlib
import hmac
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from between import relayed
from commands import Program, free_port, program
from fleet import Replica, replica
from receiver import in_turn, receiving
from scheduler_client import AsyncScheduler, JobSpec
from sealing import KEY_TEXT

PACKAGE = Path(__file__).parents[2] / "clients" / "python"
PYTHON = (sys.executable, "-m")
EXAMPLES = {
    "starlette": (*PYTHON, "uvicorn", "starlette_receiver:app", "--port"),
    "fastapi": (*PYTHON, "uvicorn", "fastapi_receiver:app", "--port"),
    "flask": (*PYTHON, "flask", "--app", "flask_receiver", "run", "--port"),
    "django": (sys.executable, str(PACKAGE / "examples" / "django_receiver.py"), "runserver"),
}
BODY = {"of": "ümlaut"}

pytestmark = pytest.mark.timeout(120)


class Example(NamedTuple):
    """An example that runs, and what it was told to verify with."""

    name: str
    program: Program
    url: str
    secret: str

    def worked(self, kind: str, run_id: str) -> list[str]:
        return [line for line in self.program.lines if line.startswith(f"{kind} {run_id} ")]


@asynccontextmanager
async def running(name: str, service: Replica, secret: str) -> AsyncIterator[Example]:
    port = free_port()
    folders = f"{PACKAGE / 'src'}:{PACKAGE / 'examples'}"
    env = {
        "PYTHONPATH": folders,
        "SIGNING_SECRETS": f"whsec_{'A' * 32} {secret}",
        "SCHEDULER_URL": service.url(""),
        # A line is written in one piece then, and the server's own log is not in the middle of it.
        "PYTHONUNBUFFERED": "",
    }
    more = ("--noreload",) if name == "django" else ()
    async with program(*EXAMPLES[name], str(port), *more, env=env) as started:
        await listening(started, port)
        yield Example(name, started, f"http://127.0.0.1:{port}", secret)


async def listening(started: Program, port: int) -> None:
    """Wait until somebody answers; the frameworks say so in words of their own."""
    async with asyncio.timeout(60):
        while True:
            assert started.process.returncode is None, started.output
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def signed(secret: str, body: bytes, *, ago: int = 0) -> dict[str, str]:
    """Sign as the standard says, with nothing of ours."""
    at = str(int(time.time()) - ago)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.digest(key, b".".join((b"forged", at.encode(), body)), hashlib.sha256)
    return {
        "webhook-id": "forged",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(made).decode()}",
    }


async def test_each_example_believes_the_service_alone_and_works_once(dsn: str) -> None:
    async with (
        replica(dsn, secret_keys=KEY_TEXT) as service,
        AsyncScheduler(service.url("")) as scheduler,
        asyncio.TaskGroup() as tasks,
    ):
        made = await scheduler.request("POST", "/signing-secrets", body={})
        for name in EXAMPLES:
            tasks.create_task(judged(name, service, scheduler, made.body["secret"]))


async def judged(name: str, service: Replica, scheduler: AsyncScheduler, secret: str) -> None:
    async with running(name, service, secret) as example:
        await believes_nobody_else(example)
        await works_once_though_it_is_called_twice(example, scheduler)
        await takes_long_work_and_reports_its_end(example, scheduler)


async def believes_nobody_else(example: Example) -> None:
    wrong = "whsec_" + base64.b64encode(b"a secret of somebody else's....!").decode()
    requests = {
        "unsigned": {},
        "forged": signed(wrong, b"{}"),
        "old": signed(example.secret, b"{}", ago=400),
        "of another body": signed(example.secret, b"{ }"),
    }
    async with httpx2.AsyncClient(base_url=example.url, timeout=30) as http:
        for path in ("/report", "/export"):
            for what, headers in requests.items():
                answer = await http.post(path, content=b"{}", headers=headers)
                assert answer.status_code == 401, (example.name, path, what, answer.text)
    assert example.worked("report", "forged") == []


async def works_once_though_it_is_called_twice(example: Example, scheduler: AsyncScheduler) -> None:
    """The answer to the first attempt is lost, so there is a second."""
    async with receiving() as between:
        relay = relayed(example.url)
        url = between.on("/report", in_turn(relayed(example.url, lost=True), relay))
        spec: JobSpec = {
            "schedule": {"every": "1h"},
            "target": {"url": url, "body": BODY},
            "retry": {"initial_delay": "10ms"},
        }
        job = await scheduler.put_job(f"{example.name}-report", spec)
        run = await scheduler.wait(await scheduler.trigger_job(job), seconds=60)
        ids = {one.headers["webhook-id"] for one in between.requests}
    assert (run.status, len(run.attempts), ids) == ("succeeded", 2, {run.id}), (example.name, run)
    assert run.attempts[1].status_code == 204
    await example.program.line(f"report {run.id}")
    assert example.worked("report", run.id) == [f"report {run.id} {BODY}"]


async def takes_long_work_and_reports_its_end(example: Example, scheduler: AsyncScheduler) -> None:
    spec: JobSpec = {
        "schedule": {"every": "1h"},
        "target": {"url": f"{example.url}/export", "body": BODY, "completion": "callback"},
    }
    job = await scheduler.put_job(f"{example.name}-export", spec)
    run = await scheduler.wait(await scheduler.trigger_job(job), seconds=60)
    assert run.status == "succeeded", (example.name, run, example.program.output)
    assert run.raw["completion"]["detail"] == "exported"
    assert run.attempts[0].status_code == 202
    await example.program.line(f"export {run.id}")
    assert len(example.worked("export", run.id)) == 1
