"""Reading many jobs quickly: each is judged as one alone would be, with what is equal judged once.

Promises the verdict of `read_definition` for every item. What is surely good is decoded without the
walk that finds faults; schedules that are equal, and do not draw on their job's id, share their
normal form, their next occurrence and their expectations.
"""

import re
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from scheduler_svc.api import job_create
from scheduler_svc.api.check_definition import (
    Bench,
    judge,
    judge_schedule,
    read_definition,
)
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.api.validate_json import DEPTH_MAX, parse
from scheduler_svc.domain.arming import Armed
from scheduler_svc.domain.decide import NewRun
from scheduler_svc.domain.drift import Expectation, expect
from scheduler_svc.domain.errors import Invalid, Malformed
from scheduler_svc.domain.ids import RANDOM_BYTES, epoch_ms, instant_at
from scheduler_svc.domain.ids import job_id as new_job_id
from scheduler_svc.domain.incidents import Memory
from scheduler_svc.domain.jobs import NO_BODY, Definition, Job, OidcAuth
from scheduler_svc.domain.occurrences import depends_on_id
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store.bulk import Row, row_of

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Definition)
# A line feed at the end passes a pattern, and a NUL no text: both are written as escapes.
_DOUBTFUL = re.compile(rb"\\(?:n|u00)")


class Draft(Struct, frozen=True):
    """An item that is good: the job as it will be stored, and what becomes of past instants."""

    index: int
    job: Job
    expected: Expectation
    row: Row
    past: list[NewRun]
    look: Memory | None
    """From when on it is looked at for its alerts; None where nobody is told."""


class _Rhythm(Struct, frozen=True):
    """What jobs of one schedule have in common."""

    schedule: Schedule
    following: Armed | None
    expected: Expectation


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
        self.asks_identity: Definition | None = None
        """One of the jobs that send identity tokens, where any does."""

    def read(self, index: int, raw: bytes) -> Draft:
        """Return the job of one item; raise Malformed, or Invalid with all faults."""
        job_id = new_job_id(self.now_ms, self._call.deps.random_bytes(RANDOM_BYTES))
        bench = Bench(
            now_ms=self.now_ms,
            job_id=job_id,
            created_at=self._now,
            egress=self._call.deps.egress,
            namespace=self._call.namespace,
            ring=self._call.deps.ring,
            public_url=self._call.deps.public_url,
            secrets=self._secrets,
            narrower=self._rules.egress,
            quotas=self.quotas,
            callbacks=self._call.deps.callbacks,
            retention_max_ms=self._call.deps.retention_max_ms,
        )
        given = _surely_shaped(raw)
        if given is not None:
            try:
                return self._quickly(index, given, bench)
            except Invalid:
                pass  # the slow way finds the same, and says all of it
        return self._alone(index, job_id, read_definition(raw, bench))

    def _quickly(self, index: int, given: Definition, bench: Bench) -> Draft:
        """Judge what has the right shape; raise Invalid."""
        key = _ENCODER.encode(given.schedule)
        rhythm = self._rhythms.get(key)
        if rhythm is not None:
            definition = judge(given, rhythm.schedule, [], bench)
            return self._in_rhythm(index, bench.job_id, definition, rhythm)
        schedule, faults = judge_schedule(given.schedule, bench)
        draft = self._alone(index, bench.job_id, judge(given, schedule, faults, bench))
        if _is_shared(schedule):
            self._rhythms[key] = _rhythm_of(schedule, draft)
        return draft

    def _alone(self, index: int, job_id: UUID, definition: Definition) -> Draft:
        job, _, past = job_create.armed(self._job(job_id, definition), self.now_ms)
        expected = expect(planned(job), self.now_ms)
        return self._draft(index, job, expected, past)

    def _in_rhythm(
        self, index: int, job_id: UUID, definition: Definition, rhythm: _Rhythm
    ) -> Draft:
        job = self._job(job_id, definition, rhythm.following)
        expected = Expectation(job_id, rhythm.expected.instants, rhythm.expected.refresh_ms)
        return self._draft(index, job, expected, [])

    def _draft(self, index: int, job: Job, expected: Expectation, past: list[NewRun]) -> Draft:
        look = job_create.first_look(self._call, job, self.now_ms)
        return Draft(index, job, expected, row_of(job, expected), past, look)

    def _job(self, job_id: UUID, definition: Definition, following: Armed | None = None) -> Job:
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
            scheduled_for=None if following is None else instant_at(following.scheduled_ms),
            next_fire_at=None if following is None else instant_at(following.fire_ms),
        )


def _surely_shaped(raw: bytes) -> Definition | None:
    """Decode an item in which a walk would find no fault; None where only the walk can tell."""
    if _DOUBTFUL.search(raw) or raw.count(b"[") + raw.count(b"{") > DEPTH_MAX:
        return None
    try:
        definition = _DECODER.decode(raw)
        if definition.target.body != NO_BODY and parse(bytes(definition.target.body))[1]:
            return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Malformed):
        return None
    return definition


def _is_shared(schedule: Schedule) -> bool:
    return not depends_on_id(schedule) and (
        schedule.if_past is UNSET or schedule.if_past == "reject"
    )


def _rhythm_of(schedule: Schedule, draft: Draft) -> _Rhythm:
    job = draft.job
    following = None
    if job.scheduled_for is not None and job.next_fire_at is not None:
        following = Armed(epoch_ms(job.scheduled_for), epoch_ms(job.next_fire_at))
    return _Rhythm(schedule, following, draft.expected)
