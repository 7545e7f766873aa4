"""Jobs as this replica knows them: decoded, compiled and prepared once per revision, bounded.

The cache is never asked whether it is fresh: the timer carries the revision that it was written
under, and an entry of another revision does not count.
"""

from collections import OrderedDict
from uuid import UUID

import msgspec
from msgspec import UNSET

from scheduler_svc.delivery.prepare import Prepared, prepare, prepare_job
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.pressure import Key
from scheduler_svc.domain.secrecy import (
    change_target,
    masked_target,
    place_of_target,
)
from scheduler_svc.engine.alike import Alike, Way, heeds, way_of
from scheduler_svc.store.timers import StoredJob
from scheduler_svc.store.vault import KeyRing, Unopenable, open_text

KNOWN_BYTES_MAX = 100_000_000
"""What all known jobs may weigh, about: 130,000 that are alike, 70,000 of which each has an `every`
of its own, 25,000 with a target of their own, ninety with the longest bodies there are."""
JOB_BYTES = 450
RHYTHM_BYTES = 550
PATTERN_BYTES = 1000
"""Of a cron expression that is a job's own, beside that."""
OWN_BYTES = 2000
OWN_TIMES = 3
"""A part that is a job's own is there as text, as a value, and as what is sent of it."""
TIMETABLE_BYTES = 2000
"""Of a schedule whose instants depend on the job too: an `every` without anchor, `H`, a spread."""


class KnownJob(msgspec.Struct, frozen=True, gc=False):
    """A job ready to be decided and sent."""

    plan: PlannedJob
    prepared: Prepared
    key: Key
    reports: bool
    """Whether its target reports the end of a run itself: its answer only says that it took it."""
    leads_on: bool
    """Whether its rules make more of the end of a run than its row: the next in line, a pause, or
    word to somebody."""
    good: frozenset[int]
    """The statuses that are a success."""
    once: bool
    """It has one instant: when its run has ended nobody asks for it again."""
    weight: int = 0
    """About how many bytes of memory it takes."""


def _known(
    plan: PlannedJob, prepared: Prepared, way: Way, *, heeded: bool, once: bool, weight: int = 0
) -> KnownJob:
    rules = plan.definition
    leads_on = heeded or rules.overlap == "queue" or rules.auto_pause_after > 0
    return KnownJob(plan, prepared, way.key, way.reports, leads_on, way.good, once, weight)


class KnownJobs:
    """The jobs used last, no more than weigh `bytes_max` together."""

    def __init__(
        self,
        *,
        version: str,
        ring: KeyRing | None = None,
        public_url: str | None = None,
        bytes_max: int = KNOWN_BYTES_MAX,
    ) -> None:
        self._version = version
        self._alike = Alike(version)
        self._ring = ring
        self._public_url = public_url
        self._bytes_max = bytes_max
        self._bytes = 0
        self._jobs: OrderedDict[UUID, KnownJob] = OrderedDict()

    def get(self, job_id: UUID, revision: int) -> KnownJob | None:
        """Return the job where this very revision is known."""
        known = self._jobs.get(job_id)
        if known is None or known.plan.revision != revision:
            return None
        self._jobs.move_to_end(job_id)
        return known

    def forget(self) -> None:
        """Know none: the database is another one, where a revision may mean something else."""
        self._jobs.clear()
        self._bytes = 0

    def let_go(self, job_id: UUID) -> None:
        """Know this one no more: it would only be in the way of others."""
        gone = self._jobs.pop(job_id, None)
        if gone is not None:
            self._bytes -= gone.weight

    def foreign(self, plan: PlannedJob) -> KnownJob:
        """Prepare what is not stored as a job, and keep nothing of it."""
        prepared = prepare(
            plan.definition,
            namespace=plan.namespace,
            version=self._version,
            job_id=plan.id,
            public_url=self._public_url,
        )
        definition = plan.definition
        way = way_of(definition.target, plan.namespace, None)
        heeded = heeds(definition.misfire, definition.alerts)
        return _known(plan, prepared, way, heeded=heeded, once=True)

    def learn(self, stored: StoredJob) -> KnownJob:
        """Decode, compile and keep a job; raise where its definition can not be understood."""
        read = self._alike.read(stored.definition, stored.namespace)
        definition, alike = read.definition, read.way.prepared
        plan = plan_job(
            stored.id,
            stored.namespace,
            stored.revision,
            definition,
            stored.created_at,
            timetable=read.rhythm.timetable,
        )
        if alike is None:
            prepared = self._opened(stored, definition)
        else:
            prepared = prepare_job(alike, definition, job_id=stored.id, public_url=self._public_url)
        # The memory is guessed by the text and by what the job shares with no other.
        own = len(stored.definition) if alike is None else read.own
        weight = JOB_BYTES + len(stored.definition) + (OWN_BYTES + OWN_TIMES * own if own else 0)
        if read.rhythm.timetable is None:
            weight += TIMETABLE_BYTES
        elif read.own_rhythm:
            weight += RHYTHM_BYTES + (0 if definition.schedule.cron is UNSET else PATTERN_BYTES)
        known = _known(
            plan,
            prepared,
            read.way,
            heeded=read.rules.heeds,
            once=read.rhythm.once,
            weight=weight,
        )
        if stored.id in self._jobs:
            self.let_go(stored.id)
        self._jobs[stored.id] = known
        self._bytes += known.weight
        while self._bytes > self._bytes_max and len(self._jobs) > 1:
            _, gone = self._jobs.popitem(last=False)
            self._bytes -= gone.weight
        return known

    def _opened(self, stored: StoredJob, definition: Definition) -> Prepared:
        """Prepare with the secrets opened; without their key every attempt is blocked."""
        place = place_of_target(stored.namespace, stored.id)
        blocked = None
        try:
            target = change_target(
                definition.target,
                lambda within, value: open_text(self._ring, value, place(within)),
            )
        except Unopenable as fault:
            target, blocked = masked_target(definition.target), str(fault)
        made = prepare(
            msgspec.structs.replace(definition, target=target),
            namespace=stored.namespace,
            version=self._version,
            job_id=stored.id,
            public_url=self._public_url,
        )
        return (
            made if blocked is None else msgspec.structs.replace(made, blocked=blocked, route=None)
        )
