"""The rules of pressure as the settings have them."""

from scheduler_svc.domain.pressure import BreakerRules, Ceiling
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.settings import Settings


def pressure_rules(settings: Settings) -> PressureRules:
    """Return what a replica's memory of keys goes by."""
    return PressureRules(
        default=Ceiling(settings.key_parallel_max or None, settings.key_per_second_max or None),
        share=settings.key_share,
        namespace_share=settings.namespace_share,
        breaker=BreakerRules(
            failures=settings.breaker_failures,
            ratio=settings.breaker_ratio,
            window_ms=int(settings.breaker_window * 1000),
            wait_ms=int(settings.breaker_wait * 1000),
            wait_max_ms=int(settings.breaker_wait_max * 1000),
        ),
    )
