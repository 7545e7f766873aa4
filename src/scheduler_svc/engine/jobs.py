"""Jobs as this replica knows them: decoded, compiled and prepared once per revision, bounded.

The cache is never asked whether it is fresh: the timer carries the revision that it was written
under, and an entry of another revision does not count.
"""

from collections import OrderedDict
from uuid import UUID

import msgspec

from scheduler_svc.delivery.prepare import Prepared, prepare
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.pressure import Key, key_of
from scheduler_svc.store.timers import DEFINITION, StoredJob

KNOWN_MAX = 20_000


class KnownJob(msgspec.Struct, frozen=True):
    """A job ready to be decided and sent."""

    plan: PlannedJob
    prepared: Prepared
    key: Key


class KnownJobs:
    """The jobs used last, at most `size_max` of them."""

    def __init__(self, *, version: str, size_max: int = KNOWN_MAX) -> None:
        self._version = version
        self._size_max = size_max
        self._jobs: OrderedDict[UUID, KnownJob] = OrderedDict()

    def get(self, job_id: UUID, revision: int) -> KnownJob | None:
        """Return the job where this very revision is known."""
        known = self._jobs.get(job_id)
        if known is None or known.plan.revision != revision:
            return None
        self._jobs.move_to_end(job_id)
        return known

    def foreign(self, plan: PlannedJob) -> KnownJob:
        """Prepare what is not stored as a job, and keep nothing of it."""
        prepared = prepare(plan.definition, namespace=plan.namespace, version=self._version)
        return KnownJob(plan, prepared, key_of(plan.definition.target, plan.namespace))

    def learn(self, stored: StoredJob) -> KnownJob:
        """Decode, compile and keep a job; raise where its definition can not be understood."""
        definition = DEFINITION.decode(stored.definition)
        known = KnownJob(
            plan_job(stored.id, stored.namespace, stored.revision, definition, stored.created_at),
            prepare(definition, namespace=stored.namespace, version=self._version),
            key_of(definition.target, stored.namespace),
        )
        self._jobs[stored.id] = known
        if len(self._jobs) > self._size_max:
            self._jobs.popitem(last=False)
        return known
