"""How long ended runs are kept: what a job asks for, else its namespace, else the operator.

Pure: the shapes, and which rule wins. The greatest age that may be asked for is the operator's;
what asks for more, because it was stored under another bound, gets that.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from scheduler_svc.domain.duration import DurationText, milliseconds, normal, text_of
from scheduler_svc.domain.errors import Fault

AGE_MIN_MS = 3_600_000
COUNT_MAX = 10_000
SETTLED_MS = 3_600_000
"""Runs that ended within the last hour stay, whatever is asked: somebody may still look at them."""


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long ended runs are kept; a run goes when either says so, null leaves it to others."""

    age: DurationText | None = None
    count: (
        Annotated[
            int,
            Meta(ge=1, le=COUNT_MAX, description="The newest so many of a job, and no older ones."),
        ]
        | None
    ) = None


Asked = Retention | None | UnsetType
"""As it is stored and sent: nothing where nothing is asked for."""


class Kept(Struct, frozen=True):
    """What holds for one job in the end."""

    age_ms: int
    count: int | None


def kept(job: Asked, namespace: Asked, *, usual: Kept, longest_ms: int) -> Kept:
    """Return what holds: of age and count each the first that somebody asks for."""
    age_ms, count = usual.age_ms, usual.count
    for asked in (namespace, job):
        if isinstance(asked, Retention):
            age_ms = age_ms if asked.age is None else milliseconds(asked.age)
            count = count if asked.count is None else asked.count
    return Kept(min(age_ms, longest_ms), count)


def retention_faults(asked: Asked, *, longest_ms: int) -> Iterator[Fault]:
    """Name every fault of meaning; pointers are relative to it."""
    if not isinstance(asked, Retention) or asked.age is None:
        return
    try:
        age_ms = milliseconds(asked.age)
    except ValueError as error:
        yield Fault("/age", str(error))
        return
    if age_ms < AGE_MIN_MS:
        yield Fault("/age", f"must be at least {text_of(AGE_MIN_MS)}")
    elif age_ms > longest_ms:
        yield Fault(
            "/age",
            f"is longer than the operator keeps history, {text_of(longest_ms)};"
            " SCHEDULER_RETENTION_MAX is theirs to raise",
        )


def normal_retention(asked: Asked) -> Asked:
    """Write it in normal form; nothing where it asks for nothing."""
    if not isinstance(asked, Retention) or asked == Retention():
        return UNSET
    return asked if asked.age is None else Retention(age=normal(asked.age), count=asked.count)
