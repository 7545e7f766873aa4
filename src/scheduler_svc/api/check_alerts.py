"""Judging alerts beyond their shape: their address as strictly as a target's, and their counts."""

from collections.abc import Iterator

from scheduler_svc.api.check_target import duration_faults, url_faults
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.templates import OPEN


def alert_faults(
    alerts: Alerts, egress: EgressRules, narrower: NamespaceEgress | None = None
) -> Iterator[Fault]:
    """Name every fault of alerts; pointers are relative to them."""
    if alerts.url is not None:
        yield from url_faults(alerts.url, egress, narrower)
        if OPEN in alerts.url:
            yield Fault("/url", f"holds '{OPEN}'; the address of alerts takes no templates")
    yield from duration_faults("/late_after", alerts.late_after)
    share = alerts.failures_of
    if share is not None and share.failures > share.runs:
        yield Fault(
            "/failures_of/failures", f"{share.failures} of {share.runs} can not be; at most all"
        )
