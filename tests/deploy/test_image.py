"""The image, compose and the unit for systemd, as far as they can be judged without running them.

deploy/prove_image.py runs the image's steps and its command in a root of its own.
"""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler_svc.settings.names import DEFAULTS, variable

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
HADOLINT = shutil.which("hadolint")
KNOWN = {variable(field) for field in DEFAULTS}


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]
    return found


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    assert HADOLINT is not None
    done = subprocess.run(
        [HADOLINT, str(DEPLOY / "Dockerfile")], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_number_that_is_not_root_and_leaves_pip_behind() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 1000
    assert "RUN" not in last
    assert 'ENTRYPOINT ["scheduler-svc"]' in last
    assert "--require-hashes --only-binary :all:" in DOCKERFILE
    assert re.search(r"pip uninstall .*\n?.*\bpip\b", DOCKERFILE)


def test_the_image_has_what_its_settings_may_ask_for() -> None:
    """SCHEDULER_TRACE_URL needs an extra, and in an image without pip nobody can install it."""
    (lock,) = re.findall(r"--requirement (\S+)$", DOCKERFILE.replace(" \\\n", "\n"), re.MULTILINE)
    pinned = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / lock).read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tracing"]]
    assert {re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in wanted} <= pinned


def test_the_build_is_given_what_its_steps_copy() -> None:
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    allowed = re.findall(r"^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(allowed)
    assert all((ROOT / one).exists() for one in copied)


def test_the_version_of_the_label_is_the_projects() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"ARG VERSION={version[1]}\n" in DOCKERFILE


def test_settings_that_are_given_are_settings_that_there_are() -> None:
    given = set(re.findall(r"\b(SCHEDULER_[A-Z_]+)=", DOCKERFILE))
    for service in services().values():
        given |= {name for name in service.get("environment", {}) if name.startswith("SCHEDULER_")}
    unit = (DEPLOY / "systemd" / "scheduler-svc@.service").read_text()
    given |= set(re.findall(r"\b(SCHEDULER_[A-Z_]+)=", unit))
    assert given
    assert given <= KNOWN


def test_compose_migrates_before_it_serves_and_mounts_what_is_there() -> None:
    found = services()
    for name in ("scheduler-1", "scheduler-2"):
        assert found[name]["read_only"] is True
        assert found[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"}
        }
    for service in found.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), volume
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_the_unit_tells_systemd_what_the_service_does() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "scheduler-svc@.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["DynamicUser"] == "yes"
    assert int(service["WatchdogSec"].removesuffix("s")) >= 30  # a poll may take its time
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(DEPLOY / "systemd" / "scheduler-svc@.service")],
            check=False,
            capture_output=True,
            text=True,
        )
        faults = [
            line
            for line in done.stderr.splitlines()
            if "scheduler-svc@" in line and "not executable" not in line
        ]
        assert faults == []
