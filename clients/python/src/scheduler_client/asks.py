"""Each operation as a value: what is sent, and how the answer is read. Nothing is sent here.

`Scheduler` and `AsyncScheduler` hand these on, so that both say the same. Names and meanings are
those of docs/api.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from scheduler_client.reading import read
from scheduler_client.specs import JobSpec, Missed, Overlap, ScheduleSpec
from scheduler_client.values import BulkCreated, Explanation, Job, Occurrence, Preview, Run

T = TypeVar("T")
Repeat = Literal["always", "unsent"]
NOTHING: Any = object()
"""Stands for a body, or a member of one, that is not sent; None is JSON's null."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the decoded body, None without any, and headers in small letters."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Ask(Generic[T]):
    """One request. `repeat` says when it may be sent again: always, or only if it was not taken."""

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, object] = field(default_factory=dict)
    body: Any = NOTHING
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = "always"
    token: str | None = field(default=None, repr=False)
    """In place of the caller's key."""

    @property
    def budget(self) -> str:
        """Return which of a caller's budgets this is counted under (docs/api.md, "Limits")."""
        if self.path.startswith("/jobs/bulk"):
            return "bulk"
        return "reads" if self.method == "GET" or self.path.endswith("/preview") else "writes"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and where it goes on."""

    items: tuple[T, ...]
    cursor: str | None


def create_job(spec: JobSpec, key: str | None, *, dry_run: bool) -> Ask[Job]:
    query = {"dry_run": True} if dry_run else {}
    return _made(Ask(method="POST", path="/jobs", body=spec, query=query, read=_job), key)


def create_jobs(specs: Sequence[JobSpec], key: str | None, *, partial: bool) -> Ask[BulkCreated]:
    ask = Ask(
        method="POST",
        path="/jobs/bulk",
        query={"partial": True} if partial else {},
        body={"jobs": list(specs)},
        read=lambda answer: read(BulkCreated, answer.body),
    )
    return _made(ask, key)


def get_job(job: str | Job) -> Ask[Job]:
    """Ask for a job; one that is known, with its ETag, is given back where it is the same still."""
    if not isinstance(job, Job) or job.etag is None:
        return Ask(method="GET", path=_job_path(job), read=_job)
    known = job
    return Ask(
        method="GET",
        path=_job_path(job),
        headers={"If-None-Match": job.etag},
        read=lambda answer: known if answer.body is None else _job(answer),
    )


def put_job(job: str | Job, spec: JobSpec, if_match: str | Job | None, *, only: bool) -> Ask[Job]:
    ask = Ask(method="PUT", path=_job_path(job), body=spec, read=_job)
    return _if(ask, {"If-None-Match": "*"}) if only else _matching(ask, if_match)


def patch_job(job: str | Job, changes: Mapping[str, Any], if_match: str | Job | None) -> Ask[Job]:
    ask = Ask(method="PATCH", path=_job_path(job), body=dict(changes), read=_job)
    return _matching(ask, if_match)


def delete_job(job: str | Job, if_match: str | Job | None) -> Ask[None]:
    return _matching(Ask(method="DELETE", path=_job_path(job), read=_nothing), if_match)


def pause_job(
    job: str | Job, reason: str | None, until: datetime | None, if_match: str | Job | None
) -> Ask[Job]:
    body = {"reason": reason, "until": _stamp(until)}
    ask = Ask(method="POST", path=f"{_job_path(job)}/pause", body=body, read=_job)
    return _matching(ask, if_match)


def resume_job(job: str | Job, missed: Missed, if_match: str | Job | None) -> Ask[Job]:
    body = {"missed": missed}
    ask = Ask(method="POST", path=f"{_job_path(job)}/resume", body=body, read=_job)
    return _matching(ask, if_match)


def trigger_job(
    job: str | Job,
    body: Any,
    headers: Mapping[str, str] | None,
    overlap: Overlap | None,
    key: str | None,
) -> Ask[Run]:
    given = {} if body is NOTHING else {"body": body}
    more = {"headers": dict(headers or {}), "overlap": overlap}
    ask = Ask(method="POST", path=f"{_job_path(job)}/trigger", body=given | more, read=_run)
    return _made(ask, key)


def upcoming(job: str | Job, count: int, start: datetime | None) -> Ask[tuple[Occurrence, ...]]:
    return Ask(
        method="GET",
        path=f"{_job_path(job)}/upcoming",
        query={"count": count, "from": _stamp(start)},
        read=lambda answer: read(Preview, answer.body).occurrences,
    )


def explain(job: str | Job, at: datetime | None) -> Ask[Explanation]:
    return Ask(
        method="GET",
        path=f"{_job_path(job)}/explain",
        query={"at": _stamp(at)},
        read=lambda answer: read(Explanation, answer.body),
    )


def preview(schedule: ScheduleSpec, count: int, start: datetime | None) -> Ask[Preview]:
    return Ask(
        method="POST",
        path="/schedules/preview",
        body={"schedule": schedule, "count": count, "from": _stamp(start)},
        read=lambda answer: read(Preview, answer.body),
    )


def list_jobs(filters: Mapping[str, object], size: int, cursor: str | None) -> Ask[Page[Job]]:
    return _page(Job, "/jobs", {**filters, "limit": size, "cursor": cursor})


def list_runs(
    job: str | Job | None, filters: Mapping[str, object], size: int, cursor: str | None
) -> Ask[Page[Run]]:
    path = "/runs" if job is None else f"{_job_path(job)}/runs"
    return _page(Run, path, {**filters, "limit": size, "cursor": cursor})


def get_run(run: str | Run) -> Ask[Run]:
    return Ask(method="GET", path=_run_path(run), read=_run)


def cancel_run(run: str | Run) -> Ask[Run]:
    return Ask(method="POST", path=f"{_run_path(run)}/cancel", read=_run)


def replay_run(run: str | Run, key: str | None) -> Ask[Run]:
    return _made(Ask(method="POST", path=f"{_run_path(run)}/replay", read=_run), key)


def complete_run(run: str, token: str, status: str, detail: str | None) -> Ask[Run]:
    body = {"status": status, "detail": detail}
    path = f"{_run_path(run)}/complete"
    return Ask(method="POST", path=path, body=body, token=token, read=_run)


def heartbeat_run(run: str, token: str) -> Ask[Run]:
    return Ask(method="POST", path=f"{_run_path(run)}/heartbeat", token=token, read=_run)


def anything(
    method: str,
    path: str,
    body: Any,
    query: Mapping[str, object],
    headers: Mapping[str, str],
) -> Ask[Answer]:
    """Ask for an operation without a name here. A POST is repeated only with a key of its own."""
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is no path: the key would go wherever it points")
    keyed = any(name.lower() == "idempotency-key" for name in headers)
    return Ask(
        method=method,
        path=path,
        body=body,
        query=query,
        headers=headers,
        repeat="unsent" if method == "POST" and not keyed else "always",
        read=lambda answer: answer,
    )


def _made(ask: Ask[T], key: str | None) -> Ask[T]:
    """Let a request that makes something be made once, however often it is sent."""
    return _if(ask, {"Idempotency-Key": key or str(uuid4())}, repeat="always")


def _matching(ask: Ask[T], if_match: str | Job | None) -> Ask[T]:
    if if_match is None:
        return ask
    tag = if_match.etag if isinstance(if_match, Job) else if_match
    if tag is None:
        raise ValueError("a job out of a list has no ETag: read it by itself first")
    return _if(ask, {"If-Match": tag})


def _if(ask: Ask[T], headers: Mapping[str, str], repeat: Repeat = "unsent") -> Ask[T]:
    """Add headers. A condition that held may not hold the second time, because of the first."""
    return replace(ask, headers={**ask.headers, **headers}, repeat=repeat)


def _page(shape: type[T], path: str, query: Mapping[str, object]) -> Ask[Page[T]]:
    def made(answer: Answer) -> Page[T]:
        items = tuple(read(shape, one) for one in answer.body["items"])
        return Page(items, answer.body["next_cursor"])

    return Ask(method="GET", path=path, query=query, read=made)


def _job(answer: Answer) -> Job:
    return replace(read(Job, answer.body), etag=answer.headers.get("etag"))


def _run(answer: Answer) -> Run:
    return read(Run, answer.body)


def _nothing(_: Answer) -> None:
    return None


def _job_path(job: str | Job) -> str:
    name = job if isinstance(job, str) else job.id
    if not name:
        raise ValueError("a job of a dry run is not there: it has no id")
    return f"/jobs/{quote(name, safe='')}"


def _run_path(run: str | Run) -> str:
    return f"/runs/{quote(run if isinstance(run, str) else run.id, safe='')}"


def _stamp(instant: datetime | None) -> str | None:
    if instant is not None and instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone, so it is no instant")
    return None if instant is None else instant.isoformat()
