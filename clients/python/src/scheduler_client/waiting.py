"""How long to wait between two looks at a run: little at first, and never more than two seconds."""

from collections.abc import Iterator
from itertools import chain, repeat


def pauses() -> Iterator[float]:
    """Yield pauses in seconds for ever."""
    return chain((0.05, 0.1, 0.2, 0.5, 1.0), repeat(2.0))
