"""docs/files.md tells the truth: its file is one, and what it tells you to type works."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from commands import clean_environment, installed
from fleet import replica
from scheduler_svc.api.jobs_file import schema
from scheduler_svc.cli.files.jobs_file import load

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
pytestmark = pytest.mark.timeout(180)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (text,) = blocks("yaml jobs.yaml")
    (tmp_path / "jobs.yaml").write_text(text)
    return tmp_path


def test_the_file_on_the_page_is_good_by_the_published_schema(folder: Path) -> None:
    found = load([str(folder / "jobs.yaml")])
    assert [one.name for one in found.jobs] == ["nightly-report", "poll"]
    document: dict[str, Any] = {"version": 1, "owner": found.owner}
    document["jobs"] = [one.job for one in found.jobs]
    jsonschema.Draft202012Validator(json.loads(schema())).validate(document)


async def test_what_the_page_tells_you_to_type_does_what_it_says(dsn: str, folder: Path) -> None:
    async with replica(dsn) as one:
        env = clean_environment() | {
            "SCHEDULER_URL": one.url(""),
            "HOME": str(folder),
            "PATH": f"{installed('')}:{os.environ['PATH']}",
        }
        lines = [line for block in blocks("sh") for line in block.splitlines()]
        assert len(lines) > 7
        for line in lines:
            done = subprocess.run(  # noqa: ASYNC221 - one after the other
                ["bash", "-euo", "pipefail", "-c", line],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert "name: nightly-report" in (folder / "jobs.yaml").read_text()  # as it was exported


def test_the_page_names_every_limit_and_each_exit_code_of_a_check() -> None:
    for name in ("minute", "minute-host", "in-flight", "overlaps", "misfires"):
        assert f"`--max-per-{name}`" in PAGE or f"`--max-{name}`" in PAGE
    assert "5 where there is something to do" in PAGE
