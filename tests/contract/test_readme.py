"""The README as a program: its commands are run, in its order, against what they start."""

import json
import os
import re
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from commands import development, free_port, installed, program

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINES_MAX = 120
TOLD = {"service": "API ", "receiver": "listening on"}
"""What each of the terminals says once it is ready."""

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


class Block(NamedTuple):
    """A block of commands, and the terminal that it is typed into; empty for the third."""

    terminal: str
    text: str


def blocks() -> list[Block]:
    found = re.findall(r"^```sh(?: terminal=(\w+))?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [Block(*one) for one in found]


def typed(block: Block, service: int, target: int) -> list[str]:
    """Give the block to a shell, on free ports, with curl failing where it is refused."""
    text = block.text.replace("make run", ".venv/bin/scheduler-svc serve")
    text = text.replace(".venv/bin/", f"{installed('')}/")
    text = text.replace(":8080", f":{service}").replace("9000", str(target))
    curl = 'curl() { command curl --fail-with-body "$@"; }'
    last = "exec " if block.terminal else ""
    return ["bash", "-euo", "pipefail", "-c", f"{curl}\n{last}{text}"]


def values(output: str) -> list[dict[str, Any]]:
    """Read the JSON values that follow one another."""
    found, at, decoder = [], 0, json.JSONDecoder()
    while text := output[at:].lstrip():
        value, length = decoder.raw_decode(text)
        found.append(value)
        at = len(output) - len(text) + length
    return found


@needs_curl
async def test_what_it_tells_you_to_type_does_what_it_says(empty_database: str) -> None:
    ports = free_port(), free_port()
    env = development(empty_database, ports[0])
    answers: list[list[dict[str, Any]]] = []
    async with AsyncExitStack() as stack:
        running = {}
        for block in blocks():
            started = await stack.enter_async_context(program(*typed(block, *ports), env=env))
            if block.terminal:
                running[block.terminal] = started
                await started.line(TOLD[block.terminal])
                continue
            assert await started.end() == 0, started.output
            answers.append(values(started.output))
            # "The receiver shows the calls, the service what became of each"
            await running["receiver"].line("POST /hello  -> 200", count=2)
            await running["receiver"].line('{"greeting": "good day"}')
    (job,), (runs,), (report, preview, triggered, paused, listed) = answers
    assert job["schedule"]["every"] == "2s"
    ended = next(run for run in runs["items"] if run["status"] != "running")
    assert (ended["status"], ended["attempts"][0]["status_code"]) == ("succeeded", 200)
    assert (report["name"], report["changed"]) == ("nightly-report", True)
    assert len(preview["occurrences"]) == 3
    assert triggered["trigger"] == "manual"
    assert paused["state"] == "paused"
    assert listed["items"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_run_is_the_command_that_is_tested_here() -> None:
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS"}  # of a make that runs this test
    shown = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "run", "VENV=.venv"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True,
        text=True,
        check=True,
    )
    last = shown.stdout.strip().splitlines()[-1]
    assert "SCHEDULER_PROFILE:-development" in last
    assert re.search(r"exec \.venv/bin/scheduler-svc serve\s*$", last)


def test_it_stays_short() -> None:
    assert len(README.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/guarantees.md"])
def test_every_file_that_a_page_points_to_is_there(page: str) -> None:
    here = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)", here.read_text())
    missing = [link for link in links if "://" not in link and not (here.parent / link).exists()]
    assert missing == []
    assert links
