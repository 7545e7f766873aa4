"""What lists of jobs and runs share: filters from the query, words of a schedule, strips."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from scheduler_svc.domain.describe import describe
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store import dashboard
from scheduler_svc.store.dashboard import PastRun
from scheduler_svc.store.pool import transaction
from scheduler_svc.web import charts
from scheduler_svc.web.visit import Visit

STRIP = 20
DAY_MS = 86_400_000
FAR_MS = 60 * DAY_MS


def schedule_of(job: Mapping[str, Any]) -> Schedule:
    """Read the schedule of a job as the API shows it."""
    return msgspec.convert(job["schedule"], Schedule)


def words_of(job: Mapping[str, Any]) -> str:
    """Say when a job runs; what was parked because it does not compile has no words."""
    try:
        return describe(schedule_of(job))
    except ValueError:
        return "A schedule that can not be read"


def rule_of(job: Mapping[str, Any]) -> str:
    """Write the rule of a job's schedule as it was given: what it is called, and its value."""
    schedule = job["schedule"]
    (kind,) = [name for name in ("cron", "every", "at") if name in schedule]
    given = schedule[kind]
    text = given if isinstance(given, str) else " | ".join(map(str, given))
    return text if kind == "cron" else f"{kind} {text}"


def zone_of(job: Mapping[str, Any]) -> str:
    """Return the zone in which a job's schedule is meant."""
    return str(job["schedule"].get("timezone", "UTC"))


def asked(visit: Visit, *names: str) -> dict[str, str]:
    """Return the parameters of the page that are passed on to the API, without the empty ones."""
    given = ((name, visit.asked(name).strip()) for name in names)
    return {name: text for name, text in given if text}


async def strips(visit: Visit, jobs: Sequence[Mapping[str, Any]]) -> dict[str, charts.Strip]:
    """Return the last runs of each job of a page as a strip."""
    if not visit.session.may("runs:read"):
        return {}
    found = await past_runs(visit, [UUID(job["id"]) for job in jobs], STRIP)
    return {job["id"]: charts.strip(found.get(UUID(job["id"]), ()), STRIP) for job in jobs}


async def past_runs(
    visit: Visit, job_ids: Sequence[UUID], per_job: int
) -> Mapping[UUID, Sequence[PastRun]]:
    """Look for the last runs of some jobs, as far back as history usually goes."""
    until_ms = visit.lent.now_ms() + 1
    async with transaction(visit.lent.pool) as conn:
        await dashboard.fresh_plans(conn)
        return await dashboard.past_runs(
            conn, job_ids, since_ms=until_ms - FAR_MS, until_ms=until_ms, per_job=per_job
        )
