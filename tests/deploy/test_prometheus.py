"""Rules and dashboard: accepted by Prometheus, each alert fires and clears, no name is made up."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler_svc.telemetry.families import FAMILIES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
PROMTOOL = shutil.which("promtool")
SERIES = {series for family in FAMILIES for series in family.series}
SELDOM = {"scheduler_job_runs_total", "scheduler_rate_limited_total"}
"""What a running service may not show yet (tests/cli/test_metrics.py has the rest)."""
WITH_TLS = {"scheduler_certificate_expires_seconds"}
"""What only a port with a certificate shows: an alert may ask, a panel would stand empty."""

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "scheduler.json").read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def questions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def promtool(*arguments: str | Path, cwd: Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=cwd, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_accepts_its_configuration_and_the_rules() -> None:
    # Of the syntax alone: the file with its key is where Prometheus runs.
    promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=RULES.parent)
    promtool("check", "rules", "rules.yml", cwd=RULES.parent)


@needs_promtool
def test_each_alert_fires_by_what_it_watches_and_clears() -> None:
    promtool("test", "rules", "rules_test.yml", cwd=RULES.parent)


def test_there_is_a_case_that_fires_and_one_that_clears_for_each_alert() -> None:
    cases = yaml.safe_load((RULES.parent / "rules_test.yml").read_text())["tests"]
    looks = [look for case in cases for look in case["alert_rule_test"]]
    fired = {look["alertname"] for look in looks if look["exp_alerts"]}
    quiet = {look["alertname"] for look in looks if not look["exp_alerts"]}
    assert fired == quiet == {alert["alert"] for alert in alerts()}


@needs_promtool
def test_prometheus_can_parse_every_question_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"asked:{number}",
            "expr": question.replace("$__rate_interval", "1m").replace("$instance", ".*"),
        }
        for number, question in enumerate(questions())
    ]
    (tmp_path / "asked.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]})
    )
    promtool("check", "rules", "asked.yml", cwd=tmp_path)


def test_rules_and_dashboard_ask_only_for_what_a_running_service_exposes() -> None:
    asking = [(alert["expr"], SELDOM) for alert in alerts()]
    asking += [(question, SELDOM | WITH_TLS) for question in questions()]
    for question, missing in asking:
        asked = set(re.findall(r"\bscheduler_\w+", question))
        assert asked <= SERIES - missing, question
        assert asked or "up{" in question


def test_the_dashboard_shows_each_panel_once_and_on_a_place_of_its_own() -> None:
    found = panels()
    assert len({panel["title"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_each_alert_has_a_section_of_the_runbook_and_says_where() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    sections = set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert sections == {alert["alert"] for alert in alerts()}
    for alert in alerts():
        told = alert["annotations"]
        assert told["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
        assert told["summary"].endswith(".")
        assert alert["labels"]["severity"] in {"warning", "critical"}


def test_the_datasource_and_the_folder_of_the_dashboard_are_provisioned() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((folder / "dashboards" / "scheduler.yml").read_text())["providers"]
    assert source["type"] == "prometheus"
    assert provider["type"] == "file"
