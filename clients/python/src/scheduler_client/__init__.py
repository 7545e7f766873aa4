"""Ask a scheduler-svc from Python, and verify what it sends.

`Scheduler` and `AsyncScheduler` ask; `verify` and `once` are for receivers. What is exported here
is what this package promises; its modules may move.
"""

from scheduler_client.aio import AsyncScheduler
from scheduler_client.asks import NOTHING, Answer
from scheduler_client.dedupe import Deliveries, Remembered, State, once
from scheduler_client.problems import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Problem,
    SchedulerError,
    TooMany,
    Unanswered,
    Unauthenticated,
    Unavailable,
    Unreadable,
)
from scheduler_client.retrying import RateLimit, Retry
from scheduler_client.specs import JobSpec, MisfireSpec, RetrySpec, ScheduleSpec, TargetSpec
from scheduler_client.sync import Scheduler
from scheduler_client.values import (
    Attempt,
    BulkCreated,
    BulkItem,
    Event,
    Explanation,
    Job,
    JobLastRun,
    JobPause,
    JobWarning,
    Occurrence,
    Preview,
    Run,
)
from scheduler_client.version import __version__
from scheduler_client.webhooks import Delivery, NotVerified, verify

__all__ = [
    "NOTHING",
    "Answer",
    "AsyncScheduler",
    "Attempt",
    "BulkCreated",
    "BulkItem",
    "Conflict",
    "Deliveries",
    "Delivery",
    "Event",
    "Explanation",
    "Fault",
    "Forbidden",
    "Invalid",
    "Job",
    "JobLastRun",
    "JobPause",
    "JobSpec",
    "JobWarning",
    "MisfireSpec",
    "NotFound",
    "NotVerified",
    "Occurrence",
    "PreconditionFailed",
    "Preview",
    "Problem",
    "RateLimit",
    "Remembered",
    "Retry",
    "RetrySpec",
    "Run",
    "ScheduleSpec",
    "Scheduler",
    "SchedulerError",
    "State",
    "TargetSpec",
    "TooMany",
    "Unanswered",
    "Unauthenticated",
    "Unavailable",
    "Unreadable",
    "__version__",
    "once",
    "verify",
]
