"""The chart, rendered by Helm's own engine: with the defaults, and with everything on.

Skipped where the package helm-python-sdk is not installed: it is 240 MB and not in the lock.
"""

import base64
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scheduler_svc.settings import load
from scheduler_svc.settings.names import DEFAULTS, variable

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "kubernetes" / "chart"
VERSIONS = ("1.33", "1.35", "1.37")
OPERATORS = {"ServiceMonitor", "PrometheusRule"}
KEY = base64.b64encode(bytes(range(32))).decode()
PLAIN = {"database": {"existingSecret": "scheduler-database"}}
ALL = {
    "database": {"url": "postgresql://u:p@db/scheduler"},
    "keys": {"secrets": KEY, "bootstrap": "a-bootstrap-key-of-the-chart"},
    "image": {"repository": "registry.example.com/scheduler-svc", "tag": "1.2.3"},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"SCHEDULER_SLOTS": "500", "SCHEDULER_LOG_LEVEL": "warning"},
    "drain": {"preStop": 10, "linger": 10, "grace": 60},
    "podAnnotations": {"example.com/a": "b"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "service": {"annotations": {"example.com/c": "d"}},
    "ingress": {"enabled": True, "tlsSecret": "tls"},
    "autoscaling": {"enabled": True, "overdue": 500},
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 8443, "protocol": "TCP"}]}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
}


def rendered(values: dict[str, Any], name: str = "calls") -> dict[str, dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        made = chart.render(values, name=name, namespace="scheduler")
    manifests = [
        one
        for path, text in made.items()
        if path.endswith(".yaml")
        for one in yaml.safe_load_all(text)
        if one
    ]
    kinds = {one["kind"]: one for one in manifests}
    assert len(kinds) == len(manifests)
    return kinds


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [PLAIN, ALL], ids=["defaults", "everything"])
def test_it_renders_what_kubernetes_takes(values: dict[str, Any], version: str) -> None:
    for kind, one in rendered(values).items():
        if kind not in OPERATORS:
            kubernetes_validate.validate(one, version, strict=True)


def test_the_defaults_and_everything_make_these_kinds() -> None:
    plain = {
        *("ConfigMap", "Deployment", "Job", "Service", "PodDisruptionBudget", "NetworkPolicy"),
    }
    assert set(rendered(PLAIN)) == plain
    more = {"Secret", "Ingress", "HorizontalPodAutoscaler", *OPERATORS}
    assert set(rendered(ALL)) == plain | more


def test_without_a_database_it_says_what_is_missing() -> None:
    with pytest.raises(helm.HelmError, match=r"set database\.existingSecret"):
        rendered({})


def test_keys_beside_a_secret_of_ones_own_are_refused_for_nobody_would_read_them() -> None:
    with pytest.raises(helm.HelmError, match="into the Secret of"):
        rendered(PLAIN | {"keys": {"bootstrap": "a-bootstrap-key-of-the-chart"}})


def test_what_it_sets_is_enough_to_start_in_production_and_the_monitor_has_a_key() -> None:
    made = rendered(ALL)
    settings = load(made["ConfigMap"]["data"] | made["Secret"]["stringData"])
    assert (settings.profile, settings.secret_keys) == ("production", (KEY,))
    assert settings.bootstrap_key == "a-bootstrap-key-of-the-chart"
    assert set(rendered(ALL | {"keys": {}})["Secret"]["stringData"]) == {"DATABASE_URL"}
    (endpoint,) = made["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["authorization"] == {
        "type": "Bearer",
        "credentials": {"name": "scheduler-svc-metrics", "key": "key"},
    }


def test_the_pod_has_the_time_to_drain_whatever_is_asked_for() -> None:
    pod = rendered(ALL)["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 10 + 60 + 10


def test_settings_are_those_that_there_are_and_the_secret_comes_before_the_migration() -> None:
    made = rendered(ALL)
    assert set(made["ConfigMap"]["data"]) <= {variable(field) for field in DEFAULTS}
    assert made["ConfigMap"]["data"]["SCHEDULER_REPLICAS_WANTED"] == "3"
    weights = [
        int(made[kind]["metadata"]["annotations"]["helm.sh/hook-weight"])
        for kind in ("Secret", "Job")
    ]
    assert weights == sorted(weights)


def test_no_service_is_called_scheduler() -> None:
    assert rendered(PLAIN, name="scheduler")["Service"]["metadata"]["name"] == "scheduler-svc"


def test_the_rules_are_those_of_prometheus() -> None:
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text()
    assert (CHART / "files" / "rules.yml").read_text() == rules
    assert rendered(ALL)["PrometheusRule"]["spec"] == yaml.safe_load(rules)


def test_helm_finds_nothing_to_complain_about() -> None:
    found = helm.lint(str(CHART), values=PLAIN)
    assert found["errors"] == []
    # That an icon is recommended is the one thing it says.
    assert [one["error"] for one in found["messages"] if one["severity"] > 1] == []
