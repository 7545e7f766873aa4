"""What is shipped: a wheel with every migration, statement and asset, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "scheduler_svc"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


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


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version("scheduler-svc") == project["version"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()
