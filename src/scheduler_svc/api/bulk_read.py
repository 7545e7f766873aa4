"""Reading many jobs quickly: each is judged as one alone would be, with what is equal judged once.

Promises the verdict of `read_definition` for every item. What is surely good is decoded without the
walk that finds faults; schedules that are equal, and do not draw on their job's id, share their
normal form, their next occurrence and their expectations; of targets that are alike each part is
judged once.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, structs

from scheduler_svc.api import job_create
from scheduler_svc.api.check_definition import (
    Bench,
    judge_by_parts,
    judge_schedule,
    read_definition,
    surely_shaped,
)
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.known_parts import KnownParts
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.domain.decide import NewRun
from scheduler_svc.domain.drift import expect
from scheduler_svc.domain.errors import Invalid
from scheduler_svc.domain.ids import RANDOM_BYTES, instant_at
from scheduler_svc.domain.incidents import Memory
from scheduler_svc.domain.jobs import Definition, Job, OidcAuth
from scheduler_svc.domain.occurrences import depends_on_id
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store.bulk import Ahead, Row, ahead_of, new_id, row_of

_ENCODER = msgspec.json.Encoder()


class Draft(Struct, frozen=True):
    """An item that is good: the job as it will be stored, and what becomes of past instants."""

    index: int
    job: Job
    row: Row
    ahead: Ahead
    past: list[NewRun]
    look: Memory | None
    """From when on it is looked at for its alerts; None where nobody is told."""

    @property
    def fire_ms(self) -> int | None:
        """Return when the next occurrence is sent, in epoch milliseconds."""
        return self.ahead[1]


class _Rhythm(Struct, frozen=True):
    """What jobs of one schedule have in common."""

    schedule: Schedule
    as_given: bool
    scheduled_for: datetime | None
    next_fire_at: datetime | None
    ahead: Ahead


class BulkReader:
    """Reads the items of one request, all as of one instant."""

    def __init__(
        self,
        call: Call,
        now_ms: int,
        *,
        secrets: frozenset[str],
        rules: NamespaceRules,
    ) -> None:
        self.now_ms = now_ms
        self._call = call
        self._secrets = secrets
        self._rules = rules
        self.quotas = rules.quotas
        self._now = instant_at(now_ms)
        self._rhythms: dict[bytes, _Rhythm] = {}
        self._known = KnownParts(body_max=rules.quotas.body_max)
        self.asks_identity: Definition | None = None
        """One of the jobs that send identity tokens, where any does."""

    def read(self, index: int, raw: bytes) -> Draft:
        """Return the job of one item; raise Malformed, or Invalid with all faults."""
        job_id = new_id(self.now_ms, self._call.deps.random_bytes(RANDOM_BYTES))
        given = surely_shaped(raw)
        if given is not None:
            try:
                return self._quickly(index, given, job_id)
            except Invalid:
                pass  # the slow way finds the same, and says all of it
        return self._alone(index, job_id, read_definition(raw, self._bench(job_id)))

    def _quickly(self, index: int, given: Definition, job_id: UUID) -> Draft:
        """Judge what has the right shape; raise Invalid."""
        key = _ENCODER.encode(given.schedule)
        rhythm = self._rhythms.get(key)
        if rhythm is not None:
            definition = self._known.normal(given)
            if definition is None:
                bench = self._bench(job_id)
                definition = judge_by_parts(given, rhythm.schedule, [], bench, self._known)
            elif not rhythm.as_given:
                definition = structs.replace(definition, schedule=rhythm.schedule)
            return self._draft(index, self._job(job_id, definition, rhythm), rhythm.ahead, [])
        bench = self._bench(job_id)
        schedule, faults = judge_schedule(given.schedule, bench)
        definition = judge_by_parts(given, schedule, faults, bench, self._known)
        draft = self._alone(index, job_id, definition)
        if _is_shared(schedule):
            self._rhythms[key] = _rhythm_of(key, schedule, draft)
        return draft

    def _bench(self, job_id: UUID) -> Bench:
        deps = self._call.deps
        return Bench(
            now_ms=self.now_ms,
            job_id=job_id,
            created_at=self._now,
            egress=deps.egress,
            namespace=self._call.namespace,
            ring=deps.ring,
            public_url=deps.public_url,
            secrets=self._secrets,
            narrower=self._rules.egress,
            quotas=self.quotas,
            callbacks=deps.callbacks,
            retention_max_ms=deps.retention_max_ms,
        )

    def _alone(self, index: int, job_id: UUID, definition: Definition) -> Draft:
        job, _, past = job_create.armed(self._job(job_id, definition), self.now_ms)
        return self._draft(index, job, ahead_of(job, expect(planned(job), self.now_ms)), past)

    def _draft(self, index: int, job: Job, ahead: Ahead, past: list[NewRun]) -> Draft:
        look = job_create.first_look(self._call, job, self.now_ms)
        return Draft(index, job, row_of(job, ahead), ahead, past, look)

    def _job(self, job_id: UUID, definition: Definition, rhythm: _Rhythm | None = None) -> Job:
        if isinstance(definition.target.auth, OidcAuth):
            self.asks_identity = definition
        return Job(
            id=job_id,
            namespace=self._call.namespace,
            definition=definition,
            state="active",
            pause=None,
            revision=1,
            created_at=self._now,
            updated_at=self._now,
            scheduled_for=None if rhythm is None else rhythm.scheduled_for,
            next_fire_at=None if rhythm is None else rhythm.next_fire_at,
        )


def _is_shared(schedule: Schedule) -> bool:
    return not depends_on_id(schedule) and (
        schedule.if_past is UNSET or schedule.if_past == "reject"
    )


def _rhythm_of(key: bytes, schedule: Schedule, draft: Draft) -> _Rhythm:
    job = draft.job
    as_given = _ENCODER.encode(schedule) == key
    return _Rhythm(schedule, as_given, job.scheduled_for, job.next_fire_at, draft.ahead)
