"""How long history is kept, from the settings."""

from pathlib import Path

from scheduler_svc.domain.retention import Kept
from scheduler_svc.engine.history import Keeping
from scheduler_svc.settings import Settings


def retention_max_ms(settings: Settings) -> int:
    """Return the greatest age that may be asked for."""
    return int(max(settings.retention, settings.retention_max) * 1000)


def keeping(settings: Settings) -> Keeping:
    """Return what the engine keeps, how long, and where it goes."""
    return Keeping(
        ahead=settings.partitions_ahead,
        usual=Kept(int(settings.retention * 1000), settings.retention_count or None),
        longest_ms=retention_max_ms(settings),
        archive=None if settings.archive_dir is None else Path(settings.archive_dir),
    )
