"""When the database is asked what is asked about so often: together with all else of this process.

A process that wakes for one small thing at a time meets cold caches each time, and that costs many
times what the thing itself does. So what has no instant of its own comes at the chime: at whole
seconds of the monotonic clock, plus a part that differs from process to process, so that replicas
that were started together do not ask together. Within a chime those that ask come in turn, so that
one connection, and one process of the server, serves them all.
"""

import random
from enum import IntEnum

CHIME_SECONDS = 1.0
TURN_SECONDS = 0.005
"""Longer than a small statement takes, and too short to cool down."""
EARLY_SECONDS = 0.01
"""A timer may ring so much before its instant, and must not lead to the same chime again."""
_PHASE = random.random()  # noqa: S311 - no secret


class Turn(IntEnum):
    """Whose turn it is within a chime."""

    LOOK = 0
    LISTEN = 0
    """On a connection of its own."""
    NAMESPACES = 1
    HEARTBEAT = 2
    PACE = 3
    UPKEEP = 4
    SQL = 5
    EVENTS = 6


def until_chime(now: float, seconds: float, turn: Turn, *, phase: float = _PHASE) -> float:
    """Return how long to sleep from an instant of the monotonic clock, in seconds.

    That is until the last chime within so many seconds, so that nothing comes more rarely than it
    says; less than a second is slept as it is.
    """
    if seconds < CHIME_SECONDS:
        return seconds
    own = phase + turn * TURN_SECONDS
    return (now - own + seconds + EARLY_SECONDS) // CHIME_SECONDS * CHIME_SECONDS + own - now
