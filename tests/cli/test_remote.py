"""The commands that ask a running service: what they print, and with which code they end."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from commands import call, installed, program
from fleet import Replica, replica
from scheduler_svc.cli.run import run
from sealing import KEY_TEXT
from sink import Sinking, sinking

pytestmark = pytest.mark.timeout(120)
KEY = "a-bootstrap-key-of-enough-length"


class Told(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Coroutine[Any, Any, Told]]


@pytest.fixture
async def service(dsn: str) -> AsyncIterator[Replica]:
    async with replica(dsn) as one:
        yield one


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Cli:
    """The command line in this process, away from the tests' loop, as it blocks."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")

    async def call(*arguments: str) -> Told:
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(run, arguments)
        except SystemExit as left:
            code = int(left.code or 0)
        told = capsys.readouterr()
        return Told(code, told.out, told.err)

    return call


@pytest.fixture
async def here(service: Replica, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("SCHEDULER_URL", service.url(""))
    return cli


@pytest.fixture
async def sink() -> AsyncIterator[Sinking]:
    async with sinking() as opened:
        yield opened


async def test_a_job_is_made_looked_at_changed_and_deleted(here: Cli, tmp_path: Path) -> None:
    made = await here(
        *("jobs", "create", "--name", "report", "--cron", "0 9 * * MON"),
        *("--timezone", "Europe/Berlin", "--target", "http://127.0.0.1:1/x", "--method", "PUT"),
        *("--body", '{"a": [1]}', "--header", "X-A=b=c", "--label", "team=billing"),
        *("--set", "retry.max_attempts=6", "--set", "description=monday"),
    )
    assert made.code == 0, made.err
    assert "report" in made.out
    job = (await here("jobs", "get", "report", "--json")).json
    assert job["schedule"]["cron"] == "0 9 * * MON"
    assert job["target"]["body"] == {"a": [1]}
    assert job["target"]["headers"] == {"X-A": "b=c"}
    assert (job["labels"], job["description"]) == ({"team": "billing"}, "monday")
    assert job["retry"]["max_attempts"] == 6
    told = await here("jobs", "list", "--label", "team:billing")
    assert "cron 0 9 * * MON (Europe/Berlin)" in told.out
    assert (await here("jobs", "list", "--label", "team:sales")).out == ""
    dry = await here("jobs", "update", "report", "--cron", "0 10 * * MON", "--dry-run")
    assert "would fire" in dry.out
    assert (await here("jobs", "update", "report", "--cron", "0 10 * * MON")).code == 0
    spec = tmp_path / "spec.json"
    spec.write_text((await here("jobs", "get", "report", "--spec")).out)
    assert json.loads(spec.read_text())["schedule"]["cron"] == "0 10 * * MON"
    assert (await here("jobs", "update", "report", "--file", str(spec))).code == 0
    assert (await here("jobs", "get", "report", "--json")).json["revision"] == 2
    assert (await here("jobs", "pause", "report", "--reason", "holidays")).code == 0
    assert "holidays" in (await here("jobs", "get", "report")).out
    assert (await here("jobs", "resume", "report", "--missed", "skip")).code == 0
    unsure = await here("jobs", "delete", "report")
    assert (unsure.code, "--yes" in unsure.err) == (2, True)
    assert (await here("jobs", "delete", "report", "--yes")).code == 0
    assert (await here("jobs", "get", "report")).code == 4


async def test_a_run_is_triggered_waited_for_listed_shown_and_replayed(
    here: Cli, sink: Sinking
) -> None:
    await here("jobs", "create", "--name", "j", "--every", "1h", "--target", sink.url())
    run = (await here("jobs", "trigger", "j", "--wait", "--json")).json
    assert run["status"] == "succeeded"
    listed = (await here("runs", "list", "--job", "j", "--json")).json
    assert [item["id"] for item in listed] == [run["id"]]
    assert run["id"] in (await here("runs", "list", "--status", "succeeded")).out
    shown = await here("runs", "get", run["id"])
    assert "succeeded" in shown.out
    assert "200" in shown.out
    again = (await here("runs", "replay", run["id"], "--json")).json
    assert again["replay_of"] == run["id"]
    assert (await here("runs", "cancel", run["id"])).code == 1


async def test_waiting_for_a_run_that_ends_badly_ends_with_1(here: Cli) -> None:
    closed = ("--target", "http://127.0.0.1:1/", "--set", "retry.max_attempts=1")
    await here("jobs", "create", "--name", "j", "--every", "1h", *closed)
    told = await here("jobs", "trigger", "j", "--wait")
    assert (told.code, "failed" in told.out) == (1, True)


async def test_upcoming_explain_preview_and_forecast_answer_in_words(here: Cli) -> None:
    await here(
        "jobs", "create", "--name", "j", "--cron", "0 9 * * *", "--target", "http://127.0.0.1:1/"
    )
    assert (await here("jobs", "upcoming", "j", "--count", "3")).out.count("T09:00:00") >= 3
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).replace(
        hour=9, minute=0, second=0, microsecond=0
    )
    assert "fires" in (await here("jobs", "explain", "j", tomorrow.isoformat())).out
    told = await here("preview", "30 2 * * *", "--timezone", "Europe/Berlin", "--count", "2")
    assert "At 02:30" in told.out
    assert "Europe/Berlin" not in told.err
    refused = await here("preview", "61 * * * *")
    assert (refused.code, "/schedule/cron" in refused.err) == (1, True)
    assert "127.0.0.1" in (await here("forecast")).out


async def test_tail_shows_runs_as_they_happen_as_text_and_as_json(
    here: Cli, service: Replica, sink: Sinking
) -> None:
    await here("jobs", "create", "--name", "j", "--every", "1h", "--target", sink.url())
    async with asyncio.TaskGroup() as tasks, httpx2.AsyncClient() as http:
        tail = tasks.create_task(here("runs", "tail", "--count", "2", "--json"))
        while not tail.done():  # the first moment of watching may go untold
            await http.post(service.url("/jobs/j/trigger"), json={"overlap": "allow"})
            await asyncio.wait([tail], timeout=0.3)
    events = [json.loads(line) for line in tail.result().out.splitlines()]
    assert len(events) == 2
    assert {event["event"] for event in events} <= {"run.started", "run.succeeded"}


async def test_lists_go_over_pages_and_stop_where_they_were_told_to(
    here: Cli, service: Replica
) -> None:
    one = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}
    async with httpx2.AsyncClient() as http:
        sent = {"jobs": [{**one, "name": f"j{number}"} for number in range(510)]}
        assert (await http.post(service.url("/jobs/bulk"), json=sent)).status_code == 201
    assert len((await here("jobs", "list", "--all", "--json")).json) == 510
    assert len((await here("jobs", "list", "--limit", "505", "--json")).json) == 505
    assert len((await here("jobs", "list", "--json")).json) == 50


async def test_what_the_service_refuses_is_shown_with_every_fault(here: Cli) -> None:
    told = await here("jobs", "create", "--cron", "61 * * * *", "--target", "ftp://x")
    assert told.code == 1
    assert "/schedule/cron" in told.err
    assert "/target/url" in told.err
    as_json = await here("jobs", "create", "--cron", "61 * * * *", "--target", "ftp://x", "--json")
    assert json.loads(as_json.err)["code"] == "invalid"


async def test_a_name_that_would_steer_a_terminal_is_shown_and_does_not(here: Cli) -> None:
    await here(
        *("jobs", "create", "--name", "j", "--every", "1h", "--target", "http://127.0.0.1:1/"),
        *("--set", 'description="\\u001b[2J[bold]x[/bold]"'),
    )
    told = await here("jobs", "get", "j")
    assert "\x1b" not in told.out
    assert "\\x1b[2J[bold]x[/bold]" in told.out


async def test_where_nobody_answers_it_says_so_and_ends_with_3(cli: Cli) -> None:
    told = await cli("jobs", "list", "--url", "http://127.0.0.1:1")
    assert told.code == 3
    assert "no answer from http://127.0.0.1:1" in told.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url = 1", "each a string"),
        ("adress = 'x'", "adress"),
        ("url =", "toml"),
        (None, "no such"),
    ],
)
async def test_a_file_that_can_not_be_meant_is_refused_by_name(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, said: str
) -> None:
    kept = tmp_path / "kept.toml"
    if text is not None:
        kept.write_text(text)
    monkeypatch.setenv("SCHEDULER_CONFIG", str(kept))
    told = await cli("jobs", "list")
    assert told.code == 2
    assert "kept.toml" in told.err
    assert said in told.err


async def test_the_key_and_the_namespace_come_from_the_file_or_the_environment(
    dsn: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    guarded = {
        "profile": "production",
        "host": "127.0.0.1",
        "bootstrap_key": KEY,
        "secret_keys": KEY_TEXT,
    }
    async with replica(dsn, **guarded) as one:
        config = tmp_path / ".config"
        config.mkdir()
        (config / "scheduler-svc.toml").write_text(f'url = "{one.url("")}"\nkey = "{KEY}"\n')
        target = ("--every", "1h", "--target", "https://example.com/")
        assert (
            await cli("jobs", "create", "--name", "theirs", *target, "--namespace", "b")
        ).code == 0
        assert (await cli("jobs", "get", "theirs")).code == 4
        monkeypatch.setenv("SCHEDULER_NAMESPACE", "b")
        assert (await cli("jobs", "get", "theirs", "--json")).json["namespace"] == "b"
        monkeypatch.setenv("SCHEDULER_KEY", "sk_wrong")
        told = await cli("jobs", "list")
        assert (told.code, KEY in told.err, "sk_wrong" in told.err) == (1, False, False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh", "fish"])
async def test_a_shell_is_given_what_asks_for_completions(cli: Cli, shell: str) -> None:
    told = await cli("completion", shell)
    assert told.code == 0
    assert "scheduler-svc" in told.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
async def test_bash_completes_verbs_and_switches(tmp_path: Path) -> None:
    script = tmp_path / "complete.sh"
    script.write_text((await call("completion", "bash"))[1])
    ask = f"""
        PATH={installed("scheduler-svc").parent}:$PATH
        source {script}
        complete_it() {{
            COMP_LINE="$1" COMP_POINT=${{#1}} COMP_TYPE=9 COMP_KEY=9
            _python_argcomplete scheduler-svc
            printf '%s\\n' "${{COMPREPLY[@]}}"
        }}
        complete_it "scheduler-svc jobs up"
        complete_it "scheduler-svc runs list --sta"
    """
    async with program("bash", "-c", ask) as shell:
        assert await shell.end() == 0
        assert "upcoming" in shell.output
        assert "update" in shell.output
        assert "--status" in shell.output
