"""The jobs of a simulation: those of files, or those of a running service; and how long they take.

Promises of a file what can be told without the service: the shape of each job and its schedule. A
job in a file has no id yet: what is drawn by it, `H` and `spread`, is drawn from its name.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import islice
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import UNSET, structs

from scheduler_svc.cli.files.fault import BadFile
from scheduler_svc.cli.files.jobs_file import Given, load
from scheduler_svc.cli.remote.connection import Remote
from scheduler_svc.cli.remote.pages import everything
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.schedule_check import check

FILES = "files"
HISTORY = {"status": "succeeded"}


class Known(NamedTuple):
    """A job that is simulated: its name for people, its plan, and from when on it is there."""

    name: str
    plan: PlannedJob
    host: str
    since_ms: int = 0


class LeftOut(NamedTuple):
    """How many jobs are not simulated, and why."""

    paused: int = 0
    completed: int = 0


def of_files(paths: Sequence[str], *, from_ms: int) -> list[Known]:
    """Read the jobs of files; raise BadFile for the first that no service would take."""
    return [_of_file(one, from_ms) for one in load(paths).jobs]


def _of_file(one: Given, from_ms: int) -> Known:
    job_id = UUID(bytes=sha256(one.name.encode()).digest()[:16])
    created = instant_at(from_ms)
    try:
        definition = msgspec.json.decode(msgspec.json.encode(one.job), type=Definition)
    except msgspec.ValidationError as error:
        place = one.source.place(f"/jobs/{one.at}")
        raise BadFile(place, f"job {one.name!r}: {error}") from None
    schedule = definition.schedule
    if schedule.every is not UNSET and schedule.anchor is UNSET:
        schedule = structs.replace(schedule, anchor=created)
    known = _instants(schedule.at)
    schedule, faults = check(schedule, now=created, job_id=job_id, known_at=known)
    for fault in faults:
        below = f"/schedule{fault.pointer}"
        place = one.source.place(f"/jobs/{one.at}{below}", below)
        raise BadFile(place, f"job {one.name!r} {below}: {fault.detail}")
    definition = structs.replace(definition, schedule=schedule)
    return _known(one.name, plan_job(job_id, FILES, 1, definition, created))


def _instants(at: Any) -> frozenset[datetime]:
    if at is UNSET:
        return frozenset()
    return frozenset(at if isinstance(at, list) else [at])


def of_service(remote: Remote, *, to_ms: int, **query: object) -> tuple[list[Known], LeftOut]:
    """Read the jobs of a running service; those that will not fire by then are counted only."""
    found: list[Known] = []
    paused = completed = 0
    for job in everything(remote, "/jobs", **query):
        if job["state"] == "completed":
            completed += 1
            continue
        since_ms = 0
        if job["state"] == "paused":
            until = job["pause"]["until"]
            since_ms = to_ms if until is None else _ms(until)
            if since_ms >= to_ms:
                paused += 1
                continue
        found.append(_of_service(job, since_ms))
    return found, LeftOut(paused, completed)


def _of_service(job: dict[str, Any], since_ms: int) -> Known:
    named = {name: job[name] for name in Definition.__struct_fields__ if name in job}
    definition = msgspec.json.decode(msgspec.json.encode(named), type=Definition)
    created = datetime.fromisoformat(job["created_at"])
    plan = plan_job(UUID(job["id"]), job["namespace"], job["revision"], definition, created)
    return _known(job["name"] or job["id"], plan, since_ms)


def _known(name: str, plan: PlannedJob, since_ms: int = 0) -> Known:
    url = plan.definition.target.url
    return Known(name, plan, urlsplit(url).hostname or url, since_ms)


def _ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


def durations_seen(remote: Remote, count: int) -> dict[UUID, int]:
    """Return how long the newest runs of jobs took, the median of each job's."""
    taken: dict[UUID, list[float]] = defaultdict(list)
    for run in _newest(remote, count):
        if run["duration_ms"] is not None:
            taken[UUID(run["job_id"])].append(run["duration_ms"])
    return {job_id: max(1, round(median(each))) for job_id, each in taken.items()}


def _newest(remote: Remote, count: int) -> Iterator[Mapping[str, Any]]:
    if count:
        yield from islice(everything(remote, "/runs", **HISTORY), count)
