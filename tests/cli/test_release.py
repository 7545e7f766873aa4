"""`release`: what is held is listed, and let go by one word."""

import asyncio
import subprocess

import pytest

from commands import COMMAND
from scheduler_svc.store.pool import Pool

HOLD = (
    "INSERT INTO holds (namespace, reason, since)"
    " VALUES ('one', 'restored', now()), ('two', 'outage', now())"
)


async def ran(dsn: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "release", *words],
        env={"PATH": "/usr/bin:/bin", "SCHEDULER_PROFILE": "development", "DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_it_lists_what_is_held_and_lets_one_or_all_go(dsn: str, pool: Pool) -> None:
    assert (await ran(dsn)).stdout == "nothing is held\n"
    await pool.execute(HOLD)
    listed = (await ran(dsn)).stdout.splitlines()
    assert [line.partition(" since")[0] for line in listed] == ["one: held", "two: held"]
    assert "(outage): 0 jobs overdue, 0 runs not ended" in listed[1]
    assert (await ran(dsn, "one", "--missed", "skip")).stdout == "one: skip\n"
    rest = await ran(dsn, "--all", "--missed", "release")
    assert rest.returncode == 1, "one word was said already"
    assert rest.stdout == "two: release\n"
    assert "one: 'skip' was said already" in rest.stderr
    decided = await pool.fetch("SELECT namespace, missed FROM holds ORDER BY namespace")
    assert [tuple(row) for row in decided] == [("one", "skip"), ("two", "release")]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["one"], 2, "say what becomes of what was missed"),
        (["one", "--missed", "all"], 2, "invalid choice"),
        (["one", "--missed", "once", "--max-per-minute", "0"], 2, "from 1"),
        (["three", "--missed", "once"], 1, "three: is not held"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    dsn: str, pool: Pool, words: list[str], code: int, said: str
) -> None:
    await pool.execute(HOLD)
    refused = await ran(dsn, *words)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert said in refused.stderr
