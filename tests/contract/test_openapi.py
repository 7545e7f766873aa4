"""The OpenAPI document as a fuzzer reads it; tests/clients/test_generated.py has the generators.

The fuzzer's systematic phase takes two minutes, so it is left out unless asked for:
FUZZ_PHASES=examples,coverage,fuzzing,stateful FUZZ_EXAMPLES=200 FUZZ_SEED=7 pytest THIS_FILE
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from scheduler_svc.api.app import build_app
from scheduler_svc.api.gate import Gate
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend, serving

SCRIPTS = Path(sys.executable).parent
KEY = "a-bootstrap-key-of-enough-length"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,unsupported_method,"
    "allow_header_conformance,use_after_free"
)


@pytest.fixture
async def address(pool: Pool) -> AsyncIterator[str]:
    records = Records()
    async with serving(build_app(lend(pool, Clock(), records))) as opened:
        yield opened
    assert [repr(failure.error) for failure in records.failures] == []


async def run(*command: str | Path, cwd: Path) -> str:
    """Run a tool to its end beside the served application; its output is the failure's text."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace")
    assert process.returncode == 0, text
    return text


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_fuzzer_finds_no_error_of_ours_and_no_undocumented_answer(
    address: str, tmp_path: Path
) -> None:
    await run(
        SCRIPTS / "schemathesis",
        "run",
        f"{address}/openapi.json",
        f"--checks={CHECKS}",
        f"--phases={os.environ.get('FUZZ_PHASES', 'examples,fuzzing,stateful')}",
        f"--max-examples={os.environ.get('FUZZ_EXAMPLES', '20')}",
        f"--seed={os.environ.get('FUZZ_SEED', '1')}",
        "--exclude-path=/events",  # never ends: tests/cluster/test_events.py has it
        "--continue-on-failure",
        "--no-color",
        cwd=tmp_path,
    )


@pytest.fixture
async def keyed_address(pool: Pool) -> AsyncIterator[str]:
    """The same as production has it: nothing without a key."""
    records, clock = Records(), Clock()
    gate = Gate(pool, clock, required=True, bootstrap_key=KEY)
    deps = msgspec.structs.replace(lend(pool, clock, records), gate=gate)
    async with serving(build_app(deps)) as opened:
        yield opened
    assert [repr(failure.error) for failure in records.failures] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_fuzzer_with_a_key_finds_no_operation_that_answers_without_one(
    keyed_address: str, tmp_path: Path
) -> None:
    await run(
        SCRIPTS / "schemathesis",
        "run",
        f"{keyed_address}/openapi.json",
        f"--header=Authorization: Bearer {KEY}",
        f"--checks={CHECKS},ignored_auth",
        f"--phases={os.environ.get('FUZZ_PHASES', 'examples,fuzzing')}",
        f"--max-examples={os.environ.get('FUZZ_EXAMPLES', '5')}",
        f"--seed={os.environ.get('FUZZ_SEED', '1')}",
        "--exclude-path=/events",  # never ends: tests/cluster/test_events.py has it
        "--continue-on-failure",
        "--no-color",
        cwd=tmp_path,
    )
