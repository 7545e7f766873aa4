"""What is shipped: a wheel with every migration, statement and asset, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import scheduler_client

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "scheduler_svc"
CLIENT = ROOT / "clients" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


def built(project: Path, folder: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(project)], check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def test_the_wheel_has_each_migration_byte_by_byte(wheel: zipfile.ZipFile) -> None:
    prefix = "scheduler_svc/migrations/"
    shipped = {
        name.removeprefix(prefix): wheel.read(name)
        for name in wheel.namelist()
        if name.startswith(prefix)
    }
    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "migrations").iterdir()}
    assert shipped


def test_the_wheel_has_the_package_as_it_is_here_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    here = {
        str(path.relative_to(PACKAGE.parent))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    inside = {
        name
        for name in wheel.namelist()
        if ".dist-info/" not in name and not name.startswith("scheduler_svc/migrations/")
    }
    assert inside == here


def test_the_wheel_of_the_client_has_its_package_and_nothing_else(tmp_path: Path) -> None:
    wheel = built(CLIENT, tmp_path)
    package = CLIENT / "src"
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "scheduler_client/py.typed" in inside
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = wheel.read(metadata).decode().splitlines()
    needed = [line for line in lines if line.startswith("Requires-Dist") and "extra" not in line]
    assert needed == ["Requires-Dist: httpx2<3,>=2.0"]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version("scheduler-svc") == project["version"]
    assert scheduler_client.__version__ == project["version"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()
