"""The bill of materials says what the lock says; each licence is one that was thought about."""

import json
import re
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
FREE = {
    *("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "ISC"),
    *("MIT License", "BSD License", "Apache Software License", "ISC License (ISCL)", "Apache"),
    "3-Clause BSD License",
}
"""Licences that ask for a notice and nothing else."""
OF_TOOLS = FREE | {"MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"}
"""What works here beside the service, and is not shipped, may ask for its own changes back."""
AS_THEY_ARE = {"certifi": {"Mozilla Public License 2.0 (MPL 2.0)"}}
"""What the image has under another licence, unchanged and with its source (docs/adr/0048)."""
READ_IN_FILES = {
    "axe-playwright-python": {"LICENSE": "MIT License", "axe.min.js": "mozilla.org/MPL/2.0"}
}
"""Tools whose metadata names no licence: the files that do, and what these say."""


def made(lock: str, folder: Path) -> bytes:
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py"), lock, str(folder / "sbom.json")]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "sbom.json").read_bytes()


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> Json:
    found: Json = json.loads(made("run", tmp_path_factory.mktemp("sbom")))
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Json:
    found: Json = json.loads(made("image", tmp_path_factory.mktemp("sbom")))
    return found


def names_of(component: Json) -> set[str]:
    """The licences one may choose from or has to keep, one by one."""
    texts = [
        one.get("expression") or one["license"]["name"] for one in component.get("licenses", ())
    ]
    return {name for text in texts for name in re.split(r" (?:OR|AND) ", text)}


def test_each_pin_of_the_lock_is_a_component_with_its_digests(sbom: Json) -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", lock, re.MULTILINE))
    listed = {one["name"]: one for one in sbom["components"]}
    assert {name: one["version"] for name, one in listed.items()} == pinned
    digests = {one["content"] for each in listed.values() for one in each["hashes"]}
    assert digests == set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock))
    for one in listed.values():
        assert one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"
        assert one["hashes"]


def test_what_only_builds_is_told_apart(sbom: Json) -> None:
    scopes = {one["name"]: one["scope"] for one in sbom["components"]}
    assert scopes["hatchling"] == scopes["pathspec"] == "excluded"
    for name in ("starlette", "asyncpg", "jinja2", "markupsafe", "cffi"):
        assert scopes[name] == "required"


def test_it_is_the_same_each_time_and_holds_neither_time_nor_address(tmp_path: Path) -> None:
    first, second = made("run", tmp_path), made("run", tmp_path)
    assert first == second
    assert b"://" not in first
    assert b"timestamp" not in first


def test_what_is_shipped_asks_for_a_notice_and_nothing_else(sbom: Json) -> None:
    for one in sbom["components"]:
        if one["scope"] == "required":
            assert names_of(one), one["name"]
            assert names_of(one) <= FREE, one["name"]


def test_what_the_image_has_beside_that_is_no_different_but_for_one_list_of_certificates(
    sbom: Json, image: Json
) -> None:
    service = {one["name"] for one in sbom["components"]}
    beside = {one["name"]: one for one in image["components"] if one["name"] not in service}
    assert {"opentelemetry-sdk", "protobuf", "requests"} <= set(beside)
    assert {one["scope"] for one in beside.values()} == {"required"}
    bound = {
        name: names_of(one) - FREE for name, one in beside.items() if not names_of(one) <= FREE
    }
    assert bound == AS_THEY_ARE
    assert all(names_of(one) for one in beside.values())


def test_every_package_that_is_installed_here_has_a_licence_of_the_list(tmp_path: Path) -> None:
    listed = json.loads(made("dev", tmp_path))["components"]
    known = {one["name"]: names_of(one) for one in listed if one.get("licenses")}
    missing = {one["name"] for one in listed} - set(known) - set(READ_IN_FILES)
    # Those of other platforms are in the lock and not here.
    assert missing <= {one["name"] for one in listed if "properties" in one}
    assert {name: found - OF_TOOLS for name, found in known.items() if found - OF_TOOLS} == {}


@pytest.mark.parametrize("name", READ_IN_FILES)
def test_a_tool_that_names_its_licence_in_files_alone_still_says_the_same(name: str) -> None:
    shipped = (ROOT / "requirements" / "local.txt").read_text()
    assert f"{name}==" not in shipped
    kept = files(name) or []
    for wanted, licence in READ_IN_FILES[name].items():
        (found,) = (one for one in kept if one.name == wanted)
        assert licence in found.read_text(encoding="utf-8")[:500]
