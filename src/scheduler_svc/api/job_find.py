"""From the word in a path to a job: its id, or its name."""

import re
from uuid import UUID

from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.ids import looks_like_id, read_id
from scheduler_svc.domain.jobs import NAME_PATTERN, Job
from scheduler_svc.store import jobs
from scheduler_svc.store.pool import Connection

_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")


def is_name(key: str) -> bool:
    """Tell whether a word may be the name of a job."""
    return bool(_NAME.match(key)) and not looks_like_id(key)


async def find_id(conn: Connection, namespace: str, key: str) -> UUID | None:
    """Return the id that a word means; an id is not looked up here, a name is."""
    if (given := read_id(key)) is not None:
        return given
    return await jobs.find_id(conn, namespace, key) if is_name(key) else None


async def find_job(conn: Connection, namespace: str, key: str) -> Job:
    """Return the job of that id or name; raise NotFound."""
    job_id = await find_id(conn, namespace, key)
    job = None if job_id is None else await jobs.get_job(conn, namespace, job_id)
    if job is None:
        raise no_job(key)
    return job


def no_job(key: str) -> NotFound:
    """Say that there is no such job."""
    return NotFound(f"There is no job '{key[:128]}'.")
