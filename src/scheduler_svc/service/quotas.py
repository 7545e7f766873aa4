"""The quotas of a namespace that sets none of its own, as the settings have them."""

from scheduler_svc.domain.duration import text_of
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.settings import Settings


def default_quotas(settings: Settings) -> Quotas:
    """Return the operator's defaults; 0 is none."""
    interval_ms = round(settings.quota_min_interval * 1000)
    return Quotas(
        jobs_max=settings.quota_jobs or None,
        min_interval=text_of(interval_ms) if interval_ms else None,
        runs_per_minute=settings.quota_runs_per_minute or None,
        body_max=settings.quota_body or None,
        backfill_max=settings.quota_backfill or None,
    )
