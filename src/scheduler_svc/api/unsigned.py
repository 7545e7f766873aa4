"""The warning `unsigned`: a job asks for signatures, and nothing signs for its host."""

from collections.abc import Sequence
from uuid import UUID

from scheduler_svc.api.context import Call
from scheduler_svc.api.wire_jobs import JobWarning
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.template_places import parse_query
from scheduler_svc.domain.templates import TemplateRefused
from scheduler_svc.domain.url import UrlRefused, parse_url
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.signing_secrets import signing_hosts

UNSIGNED = JobWarning(
    code="unsigned",
    detail="The target asks for signed requests, but there is no signing secret: they go unsigned.",
)


async def of_job(conn: Connection, call: Call, job: Job) -> list[JobWarning]:
    """Warn where a job's requests go unsigned though it asks for signatures."""
    if not job.definition.target.sign:
        return []
    return (await of_jobs(conn, call, [job])).get(job.id, [])


async def of_jobs(
    conn: Connection, call: Call, jobs: Sequence[Job]
) -> dict[UUID, list[JobWarning]]:
    """Warn of each of several jobs; nothing is read where none asks for signatures."""
    asking = [job for job in jobs if job.definition.target.sign]
    if not asking:
        return {}
    now = instant_at(call.deps.now_ms())
    hosts = await signing_hosts(conn, call.namespace, now=now)
    return {
        job.id: [UNSIGNED]
        for job in asking
        if None not in hosts and _host(job.definition.target.url) not in hosts
    }


def _host(url: str) -> str | None:
    try:
        return parse_url(parse_query(url)[0]).host
    except (UrlRefused, TemplateRefused):
        return None
