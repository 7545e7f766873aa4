"""The API on a socket, and the command line that asks it, both in this process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from asking import Cli, Told
from factories import MORNING_MS
from scheduler_svc.api.app import build_app
from scheduler_svc.cli.run import run
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend, serving


@pytest.fixture
async def address(pool: Pool) -> AsyncIterator[str]:
    clock = Clock()
    clock.ms = MORNING_MS
    async with serving(build_app(lend(pool, clock, Records()))) as opened:
        yield opened


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=address) as opened:
        yield opened


@pytest.fixture
def offline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Cli:
    """The command line in a folder of its own, away from the tests' loop, as it blocks."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("SCHEDULER_URL", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)

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
def cli(offline: Cli, address: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The same, beside a service."""
    monkeypatch.setenv("SCHEDULER_URL", address)
    return offline
