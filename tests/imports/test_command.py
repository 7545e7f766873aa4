"""The command as people and pipelines use it: the file, the report, exit codes, and the service."""

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from fleet import replica
from imports.comparing import FILES, TARGET
from scheduler_svc.cli.run import run
from scheduler_svc.domain.imports.finding import CODES
from sealing import KEY_TEXT, PUBLIC_URL

pytestmark = pytest.mark.timeout(180)
SOURCES = {
    "crontab": "user.crontab",
    "kubernetes": "kubernetes.yaml",
    "cloud-scheduler": "cloud-scheduler.json",
    "eventbridge": "eventbridge.json",
    "dkron": "dkron.json",
}
NOW = "2026-12-01T00:00:00Z"
PAGE = Path(__file__).parents[2] / "docs" / "importing.md"


class Core(yaml.SafeLoader):
    """YAML 1.2 as its core schema has it, where `on` and `1:30` are texts anyhow."""


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
):
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


def made(dialect: str, folder: Path, *more: str) -> tuple[int, Path]:
    out = folder / "jobs.yaml"
    path = str(FILES / SOURCES[dialect])
    zone = ("--timezone", "Europe/Berlin")
    given = ("--target", TARGET, "--now", NOW, "-o", str(out), *zone, *more)
    return run(["import", dialect, path, *given]), out


@pytest.mark.parametrize("dialect", list(SOURCES))
def test_the_file_is_read_alike_by_yaml_1_1_and_1_2(
    dialect: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = made(dialect, tmp_path)
    assert code == (0 if dialect == "crontab" else 1)
    text = out.read_text()
    old, new = yaml.safe_load(text), yaml.load(text, Loader=Core)
    assert old == new
    assert old["version"] == 1
    names = [job["name"] for job in old["jobs"]]
    assert len(set(names)) == len(names) > 10
    for job in old["jobs"]:
        assert isinstance(job["schedule"].get("cron", ""), str | list)
        assert set(job) >= {"name", "schedule", "target"}
    assert capsys.readouterr().err == ""


def test_texts_that_yaml_could_misread_are_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table"
    odd = ["on", "1:30", "2026-01-01", "null", "~", "1e3", "0x10", "- a", "a: b", "# c", "é\u2028x"]
    table.write_text("".join(f"0 9 * * * {text}\n" for text in odd))
    out = tmp_path / "out"
    assert run(["import", "crontab", str(table), "--target", TARGET, "-o", str(out)]) == 0
    for loader in (yaml.SafeLoader, Core):
        jobs = yaml.load(out.read_text(), Loader=loader)["jobs"]
        assert [job["target"]["body"]["command"] for job in jobs][:10] == odd[:10]
        assert {job["schedule"]["cron"] for job in jobs} == {"0 9 * * *"}
    assert capsys.readouterr().err == ""


def test_the_key_on_of_retries_is_a_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = made("cloud-scheduler", tmp_path)
    jobs = {job["name"]: job for job in yaml.safe_load(out.read_text())["jobs"]}
    assert jobs["refresh-cache"]["retry"]["on"] == ["3xx", "4xx", "5xx"]
    assert '"on":' in out.read_text()
    assert capsys.readouterr().out


def test_what_a_person_has_to_decide_stands_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = made("kubernetes", tmp_path)
    text = out.read_text()
    assert "# Of all jobs:\n# decision: a pod has no address" in text
    assert re.search(r"# Left out: \S+ paused\n(# .*\n)*# decision: it is suspended there", text)
    assert re.search(r"# Left out: \S+ sunday-is-seven\n# not_importable: weekday field", text)
    assert capsys.readouterr().out.splitlines()[0] == "all that are written"


def test_the_report_is_for_programs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made("dkron", tmp_path, "--report", "json")
    found = json.loads(capsys.readouterr().out)
    assert found["dialect"] == "dkron"
    counts = found["summary"]
    assert counts["definitions"] == len(found["jobs"]) == 24
    assert counts["written"] == sum(job["written"] for job in found["jobs"])
    for job in found["jobs"]:
        assert job["status"] in {"same", "differs", "decision", "not_importable"}
        for one in job["findings"]:
            assert set(one) == {"code", "severity", "detail", "next"}
            assert one["code"] in CODES
            assert len(one["detail"]) < 400


def test_the_file_goes_to_the_output_and_the_report_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = str(FILES / "user.crontab")
    assert run(["import", "crontab", path, "--target", TARGET]) == 0
    told = capsys.readouterr()
    assert len(yaml.safe_load(told.out)["jobs"]) == 25
    assert "25 definitions, 25 written" in told.err


def test_a_file_without_definitions_is_a_file_without_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "empty"
    table.write_text("# nothing\n")
    assert run(["import", "crontab", str(table)]) == 0
    told = capsys.readouterr()
    assert yaml.safe_load(told.out) == {"version": 1, "jobs": []}
    assert "0 definitions" in told.err


def test_nothing_in_a_definition_steers_the_terminal_or_leaves_its_comment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobs.json"
    name = "x\u001b[2J\n- name: y\u2028\u0085"
    path.write_text(json.dumps([{"name": name, "schedule": "0 0 1 * * *", "executor": name}]))
    assert run(["import", "dkron", str(path), "--target", TARGET]) == 0
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert len(yaml.safe_load(told.out)["jobs"]) == 1


async def test_a_service_takes_each_job_as_it_is_written(
    dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs: dict[str, dict[str, Any]] = {}
    for dialect in SOURCES:
        _, out = made(dialect, tmp_path, "--suspended")
        jobs |= {job["name"]: job for job in yaml.safe_load(out.read_text())["jobs"]}
    assert len(jobs) > 80
    more = {"secret_keys": KEY_TEXT, "public_url": PUBLIC_URL}
    async with replica(dsn, **more) as one, httpx2.AsyncClient(base_url=one.url("")) as client:
        for name, job in jobs.items():
            answer = await client.put(f"/jobs/{name}", json=job)
            assert answer.status_code == 201, (job, answer.text)
        again = await client.put(f"/jobs/{name}", json=job)
        assert again.json()["changed"] is False
    assert capsys.readouterr().out


def test_the_command_on_the_page_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("mytab").write_text("0 2 * * * /opt/backup\n")
    assert run(shlex.split(block)[1:]) == 0
    assert yaml.safe_load(Path("jobs.yaml").read_text())["jobs"][0]["name"] == "backup"
    assert "1 definition, 1 written" in capsys.readouterr().out


def test_the_standard_input_is_read_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = io.TextIOWrapper(io.BytesIO(b"0 2 * * * /opt/backup\n"))
    monkeypatch.setattr("sys.stdin", given)
    assert run(["import", "crontab", "-", "--target", TARGET]) == 0
    assert "stdin:1" in capsys.readouterr().out


def codes_table() -> str:
    rows = "".join(f"| `{code}` | {text} |\n" for code, text in CODES.items())
    return f"| code | about |\n| --- | --- |\n{rows}"


def test_the_page_lists_every_code() -> None:
    (shown,) = re.findall(r"<!-- codes -->\n(.*?)<!-- /codes -->", PAGE.read_text(), re.DOTALL)
    assert shown == codes_table()
