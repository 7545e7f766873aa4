"""The page on the command line: what it shows runs, and it names every verb."""

import os
import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

from commands import call
from fleet import replica
from scheduler_svc.cli.commands import parser

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
REMOTE = ("jobs", "runs")


def verbs(of: ArgumentParser) -> dict[str, ArgumentParser]:
    for action in of._actions:
        if isinstance(action, _SubParsersAction):
            return dict(action.choices)
    return {}


async def test_each_command_on_the_page_runs_as_it_is_written(dsn: str) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for line in block.splitlines() if line.startswith("scheduler-svc ")]
    assert len(lines) > 8
    async with replica(dsn) as one:
        for line in lines:
            _, *arguments = shlex.split(line)
            code, told = await call(
                *arguments, env={"SCHEDULER_URL": one.url(""), "HOME": os.devnull}
            )
            assert code == 0, (line, told)


def test_the_page_names_every_verb() -> None:
    known = verbs(parser(REMOTE))
    named = {f"{noun} {verb}" for noun in REMOTE for verb in verbs(known[noun])}
    shown = set(re.findall(r"`((?:jobs|runs) [a-z]+)`", PAGE))
    assert named <= shown
    assert named
