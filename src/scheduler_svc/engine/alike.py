"""What many jobs have alike is read once: equal schedules, targets and rules are shared by them.

Promises the very definition that decoding the whole text gives, and refuses what that refuses. It
keeps few parts, and no long ones: a text that is one job's own is read like any other.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from scheduler_svc.delivery.prepare import Prepared, prepare_target
from scheduler_svc.domain.jobs import (
    Alerts,
    Definition,
    Labels,
    Misfire,
    Name,
    Overlap,
    Retry,
    Target,
)
from scheduler_svc.domain.occurrences import Timetable, is_one_instant, shared_timetable
from scheduler_svc.domain.outcome import statuses_of
from scheduler_svc.domain.pressure import Key, key_of
from scheduler_svc.domain.retention import Asked
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.secrecy import secrets_of

PARTS_MAX = 1024
"""Parts of one kind that are kept; those not asked for lately go first."""
RHYTHMS_MAX = 16_384
"""Of schedules more: they are small, and minutes, hours and days make many of them."""
LENGTH_MAX = 4096
"""Longer ones are not kept: a body of 256 KiB is hardly one that many jobs send."""
DEFAULTS = Raw(b"{}")
NO_RULES = b"[{},{},{}]"
T = TypeVar("T")


class _Outline(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A definition whose larger parts are not read yet; one that is left out is as by default."""

    name: Name | None = None
    description: Annotated[str, Meta(max_length=4096)] = ""
    labels: Labels = {}
    schedule: Raw
    target: Raw
    retry: Raw = DEFAULTS
    misfire: Raw = DEFAULTS
    overlap: Overlap = "skip"
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    alerts: Raw = DEFAULTS
    auto_pause_after: Annotated[int, Meta(ge=0, le=1000)] = 0
    delete_after_completion: bool = False
    retention: Asked = UNSET


_OUTLINE = msgspec.json.Decoder(_Outline)
_SCHEDULE = msgspec.json.Decoder(Schedule)
_TARGET = msgspec.json.Decoder(Target)
_RULES = msgspec.json.Decoder(tuple[Retry, Misfire, Alerts])


class Rhythm(Struct, frozen=True):
    """A schedule, and what it comes to where that is the same for all jobs that have it."""

    schedule: Schedule
    timetable: Timetable | None
    once: bool
    """It names one instant."""


class Way(Struct, frozen=True):
    """A target, whose key it has, and what its requests have in common."""

    target: Target
    key: Key
    reports: bool
    """Whether it reports the end of a run itself: its answer only says that it took it."""
    good: frozenset[int]
    """The statuses that are a success."""
    prepared: Prepared | None
    """None where secrets have to be opened first, each by the job that it was sealed for."""


class Rules(Struct, frozen=True):
    """What is asked of runs, whatever their target and their schedule."""

    retry: Retry
    misfire: Misfire
    alerts: Alerts
    heeds: bool
    """Whether they make more of the end of a run than its row."""


class Read(Struct, frozen=True, gc=False):
    """A definition with what was found for its parts."""

    definition: Definition
    rhythm: Rhythm
    way: Way
    rules: Rules
    own: int
    """Bytes of its target and rules where they were made for it: nobody has them alike, as far as
    is known."""
    own_rhythm: bool
    """Whether its schedule was."""


class _Kept(Generic[T]):
    """Values by the text of their part, and by whatever else they are made of."""

    def __init__(
        self, make: Callable[..., T], made: list[int], *, at_most: int = PARTS_MAX
    ) -> None:
        def counted(part: bytes, *more: str) -> T:
            made[0] += len(part)
            return make(part, *more)

        self._make = counted
        self._known = lru_cache(maxsize=at_most)(counted)

    def of(self, part: bytes, *more: str) -> T:
        return (self._known if len(part) <= LENGTH_MAX else self._make)(part, *more)


class Alike:
    """Parts of definitions, as one version of this service sends them."""

    def __init__(self, version: str) -> None:
        self._made = [0]
        """Bytes of parts that were not known, of all kinds together."""
        self._made_rhythms = [0]
        self._ways = _Kept(partial(_way, version), self._made)
        self._rhythms = _Kept(_rhythm, self._made_rhythms, at_most=RHYTHMS_MAX)
        self._rules = _Kept(_rules, self._made)
        self._no_rules = _rules(NO_RULES)

    def read(self, text: str, namespace: str) -> Read:
        """Read a definition; raise where it can not be understood."""
        outline = _OUTLINE.decode(text)
        made, made_rhythms = self._made[0], self._made_rhythms[0]
        rhythm = self._rhythms.of(bytes(outline.schedule))
        way = self._ways.of(bytes(outline.target), namespace)
        retry, misfire, alerts = outline.retry, outline.misfire, outline.alerts
        if retry is misfire is alerts is DEFAULTS:
            rules = self._no_rules
        else:  # the three together: jobs that have one alike mostly have all
            rules = self._rules.of(b"[%b,%b,%b]" % (bytes(retry), bytes(misfire), bytes(alerts)))
        definition = Definition(
            name=outline.name,
            description=outline.description,
            labels=outline.labels,
            schedule=rhythm.schedule,
            target=way.target,
            retry=rules.retry,
            misfire=rules.misfire,
            overlap=outline.overlap,
            priority=outline.priority,
            alerts=rules.alerts,
            auto_pause_after=outline.auto_pause_after,
            delete_after_completion=outline.delete_after_completion,
            retention=outline.retention,
        )
        own, own_rhythm = self._made[0] - made, self._made_rhythms[0] > made_rhythms
        return Read(definition, rhythm, way, rules, own, own_rhythm)


def _rules(text: bytes) -> Rules:
    retry, misfire, alerts = _RULES.decode(text)
    return Rules(retry, misfire, alerts, heeds=heeds(misfire, alerts))


def heeds(misfire: Misfire, alerts: Alerts) -> bool:
    """Tell whether rules ask for the next in line, or for word to somebody, when a run ends."""
    return misfire.policy == "all" or alerts.url is not None


def way_of(target: Target, namespace: str, prepared: Prepared | None) -> Way:
    """Find what there is to know of a target."""
    good = statuses_of(tuple(target.success_status))
    return Way(target, key_of(target, namespace), target.completion == "callback", good, prepared)


def _rhythm(text: bytes) -> Rhythm:
    schedule = _SCHEDULE.decode(text)
    return Rhythm(schedule, shared_timetable(schedule), is_one_instant(schedule))


def _way(version: str, text: bytes, namespace: str) -> Way:
    target = _TARGET.decode(text)
    made = None
    if target.tls is None and next(secrets_of(target), None) is None:
        made = prepare_target(target, namespace=namespace, version=version)
    return way_of(target, namespace, made)
