"""An alert as its receiver gets it: a CloudEvent 1.0 in structured mode, and the run that sends it.

The event is made once and kept with the run, so that no edit and no delete of the job changes what
is told or to whom.
"""

from base64 import b64encode
from typing import Any
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.ids import EPOCH, run_id
from scheduler_svc.domain.incidents import Condition, End, Raised
from scheduler_svc.domain.jobs import Definition, Retry, Target
from scheduler_svc.domain.runs import AlertCall
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.words import at_text

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
TYPES: dict[Condition, str] = {
    "failed": "dev.scheduler-svc.run.failed",
    "failures_in_row": "dev.scheduler-svc.job.failing",
    "failures_of": "dev.scheduler-svc.job.unstable",
    "late": "dev.scheduler-svc.run.late",
    "never_ran": "dev.scheduler-svc.job.never-ran",
    "slow": "dev.scheduler-svc.run.slow",
    "recovered": "dev.scheduler-svc.job.recovered",
    "auto_paused": "dev.scheduler-svc.job.auto-paused",
}
RETRY = Retry(max_attempts=30, initial_delay="5s", multiplier=3.0, max_delay="1h", deadline="24h")
"""Generous: a receiver that was down for hours still hears of what happened meanwhile."""
TIMEOUT = "10s"
AT_ONCE = Schedule(at=EPOCH)


def cloud_event(
    alert_id: UUID, raised: Raised, job: PlannedJob, run: dict[str, Any] | None, *, now_ms: int
) -> str:
    """Write the event of an alert as JSON text; its id is that of the run which sends it."""
    definition = job.definition
    event = {
        "specversion": "1.0",
        "id": str(alert_id),
        "source": f"/jobs/{job.id}",
        "type": TYPES[raised.condition],
        "subject": str(job.id) if run is None else run["id"],
        "time": at_text(now_ms),
        "datacontenttype": "application/json",
        "data": {
            "condition": raised.condition,
            "detail": raised.detail,
            **raised.facts,
            "job": {
                "id": str(job.id),
                "name": definition.name,
                "namespace": job.namespace,
                "labels": definition.labels,
            },
            "run": run,
        },
    }
    return msgspec.json.encode(event).decode()


def run_shown(end: End) -> dict[str, Any]:
    """Show the run that an alert is about."""
    return {
        "id": str(end.run_id),
        "trigger": end.trigger,
        "scheduled_for": at_text(end.scheduled_ms),
        "status": end.status,
        "reason": end.reason,
        "attempt_count": end.attempt_count,
        "lateness_ms": end.lateness_ms,
        "duration_ms": end.duration_ms,
    }


def unsent_shown(job_id: UUID, scheduled_ms: int) -> dict[str, Any]:
    """Show an occurrence that was not sent by the time it is told of."""
    return {
        "id": str(run_id(job_id, scheduled_ms)),
        "trigger": "schedule",
        "scheduled_for": at_text(scheduled_ms),
        "status": "due",
        "reason": None,
        "attempt_count": 0,
        "lateness_ms": None,
        "duration_ms": None,
    }


def alert_job(job_id: UUID, call: AlertCall) -> PlannedJob:
    """Return what the engine needs to send an alert, as if it were a job of one call.

    It has no revision, no overlap and no cadence, and bears the id of the job it tells of.
    """
    definition = Definition(
        name=call.job_name,
        schedule=AT_ONCE,
        target=Target(
            url=call.url,
            headers={"Content-Type": CONTENT_TYPE},
            # As bytes: what the event quotes of others must not be read as a template.
            body_base64=b64encode(call.event.encode()).decode(),
            timeout=TIMEOUT,
        ),
        retry=RETRY,
        overlap="allow",
    )
    return plan_job(job_id, call.namespace, 0, definition, EPOCH)
