"""The lock files: hash-pinned, complete, agreeing with each other, and without an address."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {path.stem: path.read_text() for path in sorted((ROOT / "requirements").glob("*.txt"))}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def _pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", text, re.MULTILINE))


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in requirements}


def test_there_is_a_lock_for_serving_for_make_run_for_the_image_and_for_working_here() -> None:
    assert set(LOCKS) == {"run", "local", "image", "dev"}


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes_and_there_is_no_address(name: str) -> None:
    entries = re.split(r"\n(?=\S)", LOCKS[name].strip())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert not re.search(r"://|@|--(extra-)?index|--find-links|file:", LOCKS[name])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run", PROJECT["dependencies"]),
        ("local", [*PROJECT["dependencies"], *EXTRAS["embedded"]]),
        ("image", [*PROJECT["dependencies"], *EXTRAS["tracing"]]),
        (
            "dev",
            [*PROJECT["dependencies"], *EXTRAS["embedded"], *EXTRAS["tracing"], *EXTRAS["dev"]],
        ),
    ],
)
def test_a_lock_has_all_that_the_project_asks_for(name: str, wanted: list[str]) -> None:
    assert _names([*wanted, "hatchling"]) <= set(_pins(LOCKS[name]))


def test_the_locks_agree() -> None:
    dev = _pins(LOCKS["dev"])
    for name in ("run", "local", "image"):
        assert _pins(LOCKS[name]).items() <= dev.items()
    assert _pins(LOCKS["run"]).items() <= _pins(LOCKS["image"]).items()
