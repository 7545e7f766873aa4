"""The manifests: rendered by kustomize, valid for three versions of Kubernetes, strict inside."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scheduler_svc.settings.names import DEFAULTS, variable

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
VERSIONS = ("1.33", "1.35", "1.37")
OPERATORS = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, of which Kubernetes itself has no schema."""
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl, for kustomize, is not installed")


def rendered(overlay: str) -> list[dict[str, Any]]:
    assert KUBECTL is not None
    done = subprocess.run(
        [KUBECTL, "kustomize", str(FOLDER / "overlays" / overlay)],
        check=True,
        capture_output=True,
        text=True,
    )
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(request.param)


def of(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [one for one in manifests if one["kind"] == kind]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_each_manifest_is_valid(overlay: list[dict[str, Any]], version: str) -> None:
    for one in overlay:
        if one["kind"] not in OPERATORS:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_manifest_with_a_word_that_is_none_is_refused() -> None:
    deployment = of(rendered("small"), "Deployment")
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_every_pod_is_nobody_writes_nowhere_and_may_nothing(overlay: list[dict[str, Any]]) -> None:
    for kind in ("Deployment", "Job"):
        pod = of(overlay, kind)["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            inside = container["securityContext"]
            assert inside["readOnlyRootFilesystem"] is True
            assert inside["allowPrivilegeEscalation"] is False
            assert inside["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= set(container["resources"])


def test_a_pod_has_the_time_to_drain(overlay: list[dict[str, Any]]) -> None:
    pod = of(overlay, "Deployment")["spec"]["template"]["spec"]
    data = of(overlay, "ConfigMap")["data"]
    (container,) = pod["containers"]
    slept = re.search(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert slept is not None
    grace = int(data["SCHEDULER_GRACE_TIME"].removesuffix("s"))
    linger = int(data["SCHEDULER_LINGER"].removesuffix("s"))
    server = 5
    needed = int(slept[1]) + max(grace, linger + server)
    assert needed < pod["terminationGracePeriodSeconds"]


def test_probes_ask_the_paths_that_are_meant_for_them(overlay: list[dict[str, Any]]) -> None:
    (container,) = of(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "startup")}
    assert asked == {"liveness": "/healthz", "startup": "/healthz"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_each_setting_is_one_that_there_is(overlay: list[dict[str, Any]]) -> None:
    known = {variable(field) for field in DEFAULTS}
    given = {*of(overlay, "ConfigMap")["data"], *of(overlay, "Secret")["stringData"]}
    assert given <= known


def test_selectors_meet_the_pods(overlay: list[dict[str, Any]]) -> None:
    labels = of(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        of(overlay, "Service")["spec"]["selector"],
        of(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of(overlay, "Deployment")["spec"]["selector"]["matchLabels"],
        of(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    migrate = of(overlay, "Job")["spec"]["template"]["metadata"]["labels"]
    assert not of(overlay, "Service")["spec"]["selector"].items() <= migrate.items()


def test_the_rules_are_those_of_prometheus() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    assert of(rendered("production"), "PrometheusRule")["spec"] == rules


def test_the_autoscaler_and_the_monitor_ask_for_what_there_is() -> None:
    manifests = rendered("production")
    scaler = of(manifests, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == of(manifests, "Deployment")["metadata"]["name"]
    assert "replicas" not in of(manifests, "Deployment")["spec"]
    assert (
        str(scaler["minReplicas"])
        == of(manifests, "ConfigMap")["data"]["SCHEDULER_REPLICAS_WANTED"]
    )
    monitor = of(manifests, "ServiceMonitor")["spec"]
    for endpoint in monitor["endpoints"]:
        key = endpoint["authorization"]["credentials"]
        told = f"kubectl create secret generic {key['name']} --from-literal={key['key']}="
        assert told in (FOLDER / "README.md").read_text()
    labels = of(manifests, "Service")["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in of(manifests, "Service")["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports
