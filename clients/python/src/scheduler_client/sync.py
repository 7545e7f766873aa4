"""`Scheduler`: the service, asked from ordinary code. One may be shared by threads."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar, Unpack

import httpx2

from scheduler_client import asks, wire
from scheduler_client.asks import NOTHING, Answer, Ask
from scheduler_client.filters import PAGE, JobFilters, RunFilters, job_query, run_query
from scheduler_client.place import find_place
from scheduler_client.problems import Unanswered
from scheduler_client.retrying import BAD, Lost, RateLimit, Retry, conversation
from scheduler_client.specs import JobSpec, Missed, Overlap, ScheduleSpec
from scheduler_client.streaming import Lines, Passing, Turns, refused
from scheduler_client.values import BulkCreated, Event, Explanation, Job, Occurrence, Preview, Run
from scheduler_client.waiting import pauses

T = TypeVar("T")


class Scheduler:
    """Every method raises a `Problem` where the service refuses, `Unanswered` where it is away.

    Jobs are named by id, by name, or by a `Job`; runs by id or by a `Run`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        namespace: str | None = None,
        *,
        retry: Retry = Retry(),  # noqa: B008 - it is frozen
        timeout: float = wire.SECONDS,
        http: httpx2.Client | None = None,
    ) -> None:
        self.place = find_place(url, key, namespace)
        self.retry = retry
        self.limits: dict[str, RateLimit] = {}
        """What the service last said of each budget: `reads`, `writes`, `bulk`."""
        self._owned = http is None
        self._http = http or httpx2.Client(timeout=timeout, verify=wire.trust(self.place))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, but for those of a library object that was handed in."""
        if self._owned:
            self._http.close()

    def create_job(
        self, spec: JobSpec, *, idempotency_key: str | None = None, dry_run: bool = False
    ) -> Job:
        """Create a job: one, however often this had to be sent."""
        return self._do(asks.create_job(spec, idempotency_key, dry_run=dry_run))

    def create_jobs(
        self,
        specs: Sequence[JobSpec],
        *,
        idempotency_key: str | None = None,
        partial: bool = False,
    ) -> BulkCreated:
        """Create up to 10,000 jobs: all or none, or with `partial` those that can be."""
        return self._do(asks.create_jobs(specs, idempotency_key, partial=partial))

    def get_job(self, job: str | Job) -> Job:
        """Read a job; one that was read before is given back where it has not changed."""
        return self._do(asks.get_job(job))

    def put_job(
        self,
        job: str | Job,
        spec: JobSpec,
        *,
        if_match: str | Job | None = None,
        only_create: bool = False,
    ) -> Job:
        """Create or replace by name; `changed` tells whether that changed anything."""
        return self._do(asks.put_job(job, spec, if_match, only=only_create))

    def patch_job(
        self, job: str | Job, changes: Mapping[str, Any], *, if_match: str | Job | None = None
    ) -> Job:
        """Change parts by a merge patch; None restores a default."""
        return self._do(asks.patch_job(job, changes, if_match))

    def delete_job(self, job: str | Job, *, if_match: str | Job | None = None) -> None:
        """Delete a job; its history stays."""
        return self._do(asks.delete_job(job, if_match))

    def pause_job(
        self,
        job: str | Job,
        *,
        reason: str | None = None,
        until: datetime | None = None,
        if_match: str | Job | None = None,
    ) -> Job:
        """Pause a job, until an instant or until somebody resumes it."""
        return self._do(asks.pause_job(job, reason, until, if_match))

    def resume_job(
        self, job: str | Job, *, missed: Missed = "skip", if_match: str | Job | None = None
    ) -> Job:
        """Resume a job, and say what becomes of what passed meanwhile."""
        return self._do(asks.resume_job(job, missed, if_match))

    def trigger_job(
        self,
        job: str | Job,
        *,
        body: Any = NOTHING,
        headers: Mapping[str, str] | None = None,
        overlap: Overlap | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Run a job now, beside its cadence; `body` replaces, `headers` merge, for this once."""
        return self._do(asks.trigger_job(job, body, headers, overlap, idempotency_key))

    def upcoming(
        self, job: str | Job, *, count: int = 10, start: datetime | None = None
    ) -> tuple[Occurrence, ...]:
        """Return the next occurrences of a job."""
        return self._do(asks.upcoming(job, count, start))

    def explain(self, job: str | Job, at: datetime | None = None) -> Explanation:
        """Tell what became, or will become, of an instant."""
        return self._do(asks.explain(job, at))

    def preview(
        self, schedule: ScheduleSpec, *, count: int = 10, start: datetime | None = None
    ) -> Preview:
        """Tell what a schedule means, without saving anything."""
        return self._do(asks.preview(schedule, count, start))

    def jobs(self, *, page_size: int = PAGE, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """Yield jobs, over as many pages as there are, each asked for when it is needed."""
        query, cursor = job_query(filters), None
        while True:
            page = self._do(asks.list_jobs(query, page_size, cursor))
            yield from page.items
            if (cursor := page.cursor) is None:
                return

    def runs(
        self, job: str | Job | None = None, *, page_size: int = PAGE, **filters: Unpack[RunFilters]
    ) -> Iterator[Run]:
        """Yield runs of a job, or of all, newest first."""
        query, cursor = run_query(filters), None
        while True:
            page = self._do(asks.list_runs(job, query, page_size, cursor))
            yield from page.items
            if (cursor := page.cursor) is None:
                return

    def get_run(self, run: str | Run) -> Run:
        return self._do(asks.get_run(run))

    def wait(self, run: str | Run, *, seconds: float | None = None) -> Run:
        """Return the run once it has ended; raise TimeoutError where that takes too long."""
        begun, coming = time.monotonic(), pauses()
        while not (found := self.get_run(run)).ended:
            pause = next(coming)
            if seconds is not None and time.monotonic() - begun + pause > seconds:
                raise TimeoutError(f"run {found.id} is {found.status} after {seconds} s")
            time.sleep(pause)
        return found

    def cancel_run(self, run: str | Run) -> Run:
        """Cancel a run; one that is under way is asked to end."""
        return self._do(asks.cancel_run(run))

    def replay_run(self, run: str | Run, *, idempotency_key: str | None = None) -> Run:
        """Send an ended run once more."""
        return self._do(asks.replay_run(run, idempotency_key))

    def complete_run(
        self, run: str, token: str, *, succeeded: bool = True, detail: str | None = None
    ) -> Run:
        """Report the end of a run, as its target, with the token that the attempt carried."""
        status = "succeeded" if succeeded else "failed"
        return self._do(asks.complete_run(run, token, status, detail))

    def heartbeat_run(self, run: str, token: str) -> Run:
        """Say, as its target, that a run is still worked on."""
        return self._do(asks.heartbeat_run(run, token))

    def events(
        self, *, job_id: str | None = None, last_event_id: str | None = None
    ) -> Iterator[Event]:
        """Yield what happens, as it happens, for ever; a stream that ends is taken up again.

        Raises what went wrong after `retry.attempts` streams in a row that could not be opened.
        """
        lines, turns = Lines(last_event_id), Turns(self.retry)
        while True:
            passing = None
            try:
                for event in self._stream(lines, job_id):
                    turns.told()
                    yield event
            except Passing as ended:
                passing = ended
            time.sleep(turns.pause(lines, passing))

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = NOTHING,
        query: Mapping[str, object] = {},
        headers: Mapping[str, str] = {},
    ) -> Answer:
        """Ask for an operation that has no method here; a path begins with `/`."""
        return self._do(asks.anything(method, path, body, query, headers))

    def _do(self, ask: Ask[T]) -> T:
        talk = conversation(ask, self.retry, self.limits)
        said: Answer | Lost | None = None
        while True:
            try:
                step = talk.send(said)
            except StopIteration as end:
                done: T = end.value
                return done
            if isinstance(step, float | int):
                time.sleep(step)
                said = None
            else:
                said = self._send(step)

    def _send(self, ask: Ask[Any]) -> Answer | Lost:
        try:
            request = self._http.build_request(**wire.request(self.place, ask))
            return wire.answer(self._http.send(request))
        except httpx2.TransportError as error:
            return wire.lost(error)

    def _stream(self, lines: Lines, job_id: str | None) -> Iterator[Event]:
        asked = wire.stream_request(self.place, {"job_id": job_id}, lines.last_event_id)
        try:
            with self._http.stream(**asked) as response:
                if response.status_code >= BAD:
                    response.read()
                    raise refused(wire.answer(response))
                for line in response.iter_lines():
                    if (event := lines.feed(line)) is not None:
                        yield event
        except httpx2.TransportError as error:
            raise Passing(Unanswered(f"GET /events: {error}")) from error
