"""Clients that the usual generators make of `/openapi.json`: checked strictly, and used.

The generators come from their registries into a folder of this machine, `make clients` asks for
that (CLIENT_GENERATORS names the folder). Without it they are skipped; the one that is in the lock
is not, but what it made is not looked at by mypy then.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from commands import clean_environment
from fleet import Replica
from sink import Sinking, sinking

HERE = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent
FOLDER = os.environ.get("CLIENT_GENERATORS", "")
GENERATOR = "openapi-generator-cli==7.26.0"  # the jar, in a wheel
SECONDS = 500.0

wanted = pytest.mark.skipif(not FOLDER, reason="CLIENT_GENERATORS is not set: see `make clients`")
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="there is no java here")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a tool to its end; its output is the failure's text."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=clean_environment() | {"NO_COLOR": "1", "COLUMNS": "120"} | env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    text = output.decode(errors="replace")
    assert process.returncode == 0, text
    return text


@pytest.fixture
async def document(service: Replica, tmp_path: Path) -> Path:
    """The document of the running service, as a caller gets it."""
    path = tmp_path / "openapi.json"
    async with httpx2.AsyncClient(timeout=30) as http:
        path.write_bytes((await http.get(service.url("/openapi.json"))).content)
    return path


@pytest.fixture
async def target() -> AsyncIterator[Sinking]:
    async with sinking() as opened:
        yield opened


async def strict(*packages: str, cwd: Path) -> None:
    """Look at generated code and its use, by settings of our own and no others."""
    (cwd / "mypy.ini").write_text("[mypy]\nstrict = True\ncache_dir = .mypy\n")
    await run(SCRIPTS / "mypy", "--config-file", "mypy.ini", *packages, cwd=cwd)


async def test_openapi_python_client(
    service: Replica, document: Path, target: Sinking, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"post_hooks": []}))
    told = await run(
        SCRIPTS / "openapi-python-client",
        "generate",
        f"--path={document}",
        "--meta=none",
        "--output-path=generated",
        "--config=config.json",
        "--fail-on-warning",
        cwd=tmp_path,
    )
    assert "arning" not in told
    shutil.copy(HERE / "python" / "journey_generated.py", tmp_path)
    if FOLDER:  # a quarter of a minute, and the gate has enough of them
        await strict("generated", "journey_generated.py", cwd=tmp_path)
    told = await run(
        sys.executable, "journey_generated.py", service.url(""), target.url(), cwd=tmp_path
    )
    assert told == "done\n"


async def generator() -> Path:
    """Install the generator once, and return its command."""
    folder = Path(FOLDER) / "java"
    command = folder / "bin" / "openapi-generator-cli"
    if not command.exists():
        await run(sys.executable, "-m", "venv", "--clear", folder, cwd=HERE)
        await run(folder / "bin" / "pip", "install", "--quiet", GENERATOR, cwd=HERE)
    return command


@wanted
@needs_java
async def test_openapi_generator_for_python(
    service: Replica, document: Path, target: Sinking, tmp_path: Path
) -> None:
    await run(
        *(await generator(), "generate", "-g", "python"),
        *("-i", document, "-o", "made", "--package-name", "made_client"),
        cwd=tmp_path,
    )
    shutil.copy(HERE / "python" / "journey_java.py", tmp_path / "made")
    told = await run(
        sys.executable, "journey_java.py", service.url(""), target.url(), cwd=tmp_path / "made"
    )
    assert told == "done\n"


@wanted
@needs_java
@pytest.mark.parametrize("language", ["java", "go", "typescript-fetch"])
async def test_openapi_generator_for_others_makes_them(
    document: Path, tmp_path: Path, language: str
) -> None:
    """Made, and looked at: their compilers and libraries are not here."""
    await run(
        *(await generator(), "generate", "-g", language),
        *("-i", document, "-o", "made"),
        cwd=tmp_path,
    )
    names = {path.stem.replace("_", "").lower() for path in (tmp_path / "made").rglob("*.*")}
    assert {"runstatus", "jobstate", "overlap"} <= {name.removeprefix("model") for name in names}


@wanted
@needs_node
async def test_typescript(
    service: Replica, document: Path, target: Sinking, tmp_path: Path
) -> None:
    """Types for openapi-fetch, and the functions of @hey-api/openapi-ts."""
    shutil.copytree(HERE / "typescript", tmp_path, dirs_exist_ok=True)
    tools = Path(FOLDER) / "node"
    lock, installed = tmp_path / "package-lock.json", tools / "package-lock.json"
    ready = (tools / "node_modules").exists() and installed.read_text() == lock.read_text()
    if not ready:
        shutil.rmtree(tools, ignore_errors=True)
        tools.mkdir(parents=True)
        shutil.copy(tmp_path / "package.json", tools)
        shutil.copy(tmp_path / "package-lock.json", tools)
        await run("npm", "ci", "--no-audit", "--no-fund", cwd=tools)
    (tmp_path / "node_modules").symlink_to(tools / "node_modules")
    # openapi-ts looks for it where it lies itself, and writes its imports accordingly.
    shutil.copy(tmp_path / "tsconfig.json", tools)
    tool = tmp_path / "node_modules" / ".bin"
    await run(
        *(tool / "openapi-typescript", document, "-o", "schema.d.ts"),
        "--default-non-nullable=false",
        cwd=tmp_path,
    )
    await run(
        *(tool / "openapi-ts", "-i", document, "-o", "hey", "-c", "@hey-api/client-fetch"),
        cwd=tmp_path,
    )
    await run(tool / "tsc", "-p", ".", cwd=tmp_path)
    for journey in ("journey_fetch", "journey_hey"):
        told = await run("node", f"out/{journey}.js", service.url(""), target.url(), cwd=tmp_path)
        assert told == "done\n"
