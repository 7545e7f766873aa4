"""What deploy/ gives a replica is enough to start in production, and Prometheus is let in."""

import base64
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from commands import COMMAND, call, free_port, program

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
KEY = base64.b64encode(bytes(range(32))).decode()
SAY_HOW = (
    "compose.yml",
    "prometheus/prometheus.yml",
    "systemd/env.example",
    "kubernetes/README.md",
)
"""Where an operator is told how to make the key of Prometheus."""


def filled(text: str, given: Mapping[str, str]) -> str:
    """Do what compose does with ${NAME-default} and ${NAME:-default}, from the inside out."""

    def value(found: re.Match[str]) -> str:
        name, colon, default = found.groups()
        unset = name not in given or (colon and not given[name])
        return default if unset else given[name]

    while (text_ := re.sub(r"\$\{(\w+)(:?)-([^${}]*)\}", value, text)) != text:
        text = text_
    assert "$" not in text
    return text


def of_compose(given: Mapping[str, str]) -> dict[str, str]:
    environment: dict[str, str] = COMPOSE["services"]["scheduler-1"]["environment"]
    return {name: filled(text, given) for name, text in environment.items()}


def of_kubernetes() -> dict[str, str]:
    made: dict[str, str] = {}
    for name, part in (("configmap", "data"), ("secret", "stringData")):
        made |= yaml.safe_load((BASE / f"{name}.yaml").read_text())[part]
    return made


def of_systemd() -> dict[str, str]:
    unit = (DEPLOY / "systemd" / "scheduler-svc@.service").read_text()
    example = (DEPLOY / "systemd" / "env.example").read_text()
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    (more,) = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
    pairs = [*lines, *more.replace("%i", "8081").split()]
    return dict(pair.split("=", 1) for pair in pairs)


def mended(env: dict[str, str]) -> dict[str, str]:
    """Do what an operator is told to: replace the values that say that they are none."""
    assert "change-me" in env["SCHEDULER_SECRET_KEYS"].lower()
    return env | {"SCHEDULER_SECRET_KEYS": KEY}


@pytest.mark.parametrize(
    "env",
    [of_compose({}), mended(of_kubernetes()), mended(of_systemd())],
    ids=["compose", "kubernetes", "systemd"],
)
async def test_the_settings_that_are_given_are_taken_and_secrets_can_be_sealed(
    env: dict[str, str],
) -> None:
    code, said = await call("check-config", env=env)
    assert code == 0, said
    shown = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert shown["SCHEDULER_SECRET_KEYS"] == "***"
    assert shown["SCHEDULER_PROFILE"] == "production"


@pytest.mark.parametrize("env", [of_kubernetes(), of_systemd()], ids=["kubernetes", "systemd"])
async def test_what_says_that_it_is_to_be_changed_is_refused(env: dict[str, str]) -> None:
    code, said = await call("check-config", env=env)
    assert (code, "SCHEDULER_SECRET_KEYS: key 1" in said) == (2, True), said


def scraping() -> dict[str, Any]:
    (scrape,) = PROMETHEUS["scrape_configs"]
    found: dict[str, Any] = scrape["authorization"]
    return found


@pytest.mark.parametrize("given", [{}, {"SCHEDULER_BOOTSTRAP_KEY": "one-of-my-own-making"}])
async def test_compose_starts_as_it_is_and_its_prometheus_is_let_in(
    given: dict[str, str], dsn: str
) -> None:
    (mount,) = COMPOSE["services"]["prometheus"]["configs"]
    assert mount["target"] == scraping()["credentials_file"]
    shown = filled(COMPOSE["configs"][mount["source"]]["content"], given)
    port = free_port()
    env = of_compose(given) | {
        "DATABASE_URL": dsn,
        "SCHEDULER_PROFILE": "production",  # as the image has it
        "SCHEDULER_HOST": "127.0.0.1",
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_LINGER": "0s",
    }
    async with (
        program(*COMMAND, "serve", env=env) as running,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await running.line("API ")
        key = {"Authorization": f"{scraping()['type']} {shown}"}
        assert (await http.get("/metrics", headers=key)).status_code == 200
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/healthz")).status_code == 200


async def test_the_key_that_operators_are_told_to_make_opens_the_metrics_and_starts_a_replica(
    dsn: str,
) -> None:
    port = free_port()
    env = mended(of_systemd()) | {
        "DATABASE_URL": dsn,
        "SCHEDULER_HOST": "127.0.0.1",
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_LINGER": "0s",
    }
    code, said = await call("serve", env=env)
    assert (code, "there are none" in said) == (2, True), said
    keys = []
    for page in SAY_HOW:
        told = re.search(
            r"scheduler-svc (keys create --name prometheus [^)\n]*)", (DEPLOY / page).read_text()
        )
        assert told is not None, page
        code, said = await call(*shlex.split(told[1]), env=env)
        assert code == 0, said
        keys.append(said.splitlines()[-1])
    async with (
        program(*COMMAND, "serve", env=env) as running,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await running.line("API ")
        for key in keys:
            shown = {"Authorization": f"Bearer {key}"}
            assert (await http.get("/metrics", headers=shown)).status_code == 200
            assert (await http.get("/jobs", headers=shown)).status_code == 403
