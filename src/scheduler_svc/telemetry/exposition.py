"""Figures as text for Prometheus: the one place where metrics are formatted.

Promises the classic text format 0.0.4, or OpenMetrics 1.0.0 to those who ask for it, and every
family of the list, with no sample where there is nothing to say.
"""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import core
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest as classic
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from scheduler_svc.telemetry.families import FAMILIES, Family
from scheduler_svc.telemetry.gauges import Figures
from scheduler_svc.telemetry.tally import Sample


class _Collector:
    """What the library asks for, of figures gathered before."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[core.Metric]:
        return (_metric(family, self._figures) for family in FAMILIES)


def exposition(figures: Figures, accept: str) -> tuple[bytes, str]:
    """Return the text and its media type."""
    if "application/openmetrics-text" in accept:
        return openmetrics(_Collector(figures)), CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]
    return classic(_Collector(figures)), CONTENT_TYPE_PLAIN_0_0_4


def _metric(family: Family, figures: Figures) -> core.Metric:
    kind = "gauge" if family.kind == "info" else family.kind
    name = family.series[0] if family.kind == "info" else family.name
    metric = core.Metric(name, family.meaning, kind)
    if family.shared:
        for sample in figures.shared.get(family.name, ()):
            _add(metric, family, sample, sample.labels)
        return metric
    for worker, snapshot in figures.workers.items():
        for sample in snapshot.get(family.name, ()):
            _add(metric, family, sample, (worker, *sample.labels))
    return metric


def _add(metric: core.Metric, family: Family, sample: Sample, values: tuple[str, ...]) -> None:
    labels = dict(zip(family.shown, values, strict=True))
    match family.kind:
        case "counter":
            metric.add_sample(f"{family.name}_total", labels, sample.value)
        case "histogram" | "summary":
            bounds = [*map(_bound, family.buckets), "+Inf"]
            if family.kind == "histogram":
                for bound, count in zip(bounds, accumulate(sample.counts), strict=True):
                    metric.add_sample(f"{family.name}_bucket", labels | {"le": bound}, count)
            metric.add_sample(f"{family.name}_count", labels, sum(sample.counts))
            metric.add_sample(f"{family.name}_sum", labels, sample.value)
        case "gauge" | "info":
            metric.add_sample(metric.name, labels, sample.value)


def _bound(value: float) -> str:
    """Write a bound as Prometheus does, so that `le` reads the same from every exporter."""
    return repr(value)
