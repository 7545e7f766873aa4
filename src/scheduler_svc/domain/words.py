"""Small words that sentences to people share: instants and counts.

Promises UTC with a Z, to the second, with milliseconds only where there are any.
"""

from scheduler_svc.domain.ids import instant_at


def at_text(ms: int) -> str:
    """Write an instant: `2026-03-29T01:00:00Z`."""
    instant = instant_at(ms).replace(tzinfo=None)
    return instant.isoformat(timespec="milliseconds" if ms % 1000 else "seconds") + "Z"


def counted(count: int, noun: str) -> str:
    """Write `1 run`, `2 runs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
