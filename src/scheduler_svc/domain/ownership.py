"""Who keeps a job in a file: a label, so that it is seen, listed, exported and edited as one.

Promises one name for it. A job without an owner is nobody's: no prune removes it.
"""

from collections.abc import Mapping

OWNER_LABEL = "scheduler.owner"
OWNER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$"


def owner_of(labels: Mapping[str, str]) -> str | None:
    """Return the owner that labels name; None where they name nobody."""
    return labels.get(OWNER_LABEL)


def owned(labels: Mapping[str, str], owner: str | None) -> dict[str, str]:
    """Return the labels of a job that an owner keeps; without one they stay as they are."""
    return {**labels} if owner is None else {**labels, OWNER_LABEL: owner}
