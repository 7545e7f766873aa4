"""Which operation leaves which entries in the audit log: every one that may change something.

A test walks the OpenAPI document with it: an operation that is not here fails, as does one that
leaves another entry than it says.
"""

from collections.abc import Mapping

from scheduler_svc.domain.audit import Action

AUDITED: Mapping[str, tuple[Action, ...]] = {
    "create_job": (Action.JOB_CREATED,),
    "create_jobs": (Action.JOBS_CREATED,),
    "act_on_jobs": (
        Action.JOBS_PAUSED,
        Action.JOBS_RESUMED,
        Action.JOBS_DELETED,
        Action.JOBS_TRIGGERED,
    ),
    "apply_jobs": (Action.JOBS_CREATED, Action.JOB_UPDATED, Action.JOBS_DELETED),
    "put_job": (Action.JOB_CREATED, Action.JOB_UPDATED),
    "patch_job": (Action.JOB_UPDATED,),
    "delete_job": (Action.JOB_DELETED,),
    "pause_job": (Action.JOB_PAUSED,),
    "resume_job": (Action.JOB_RESUMED,),
    "trigger_job": (Action.JOB_TRIGGERED,),
    "create_backfill": (Action.BACKFILL_CREATED,),
    "cancel_backfill": (Action.BACKFILL_CANCELLED,),
    "cancel_run": (Action.RUN_CANCELLED,),
    "complete_run": (Action.RUN_COMPLETED,),
    "replay_run": (Action.RUN_REPLAYED,),
    "create_replay": (Action.REPLAY_CREATED,),
    "cancel_replay": (Action.REPLAY_CANCELLED,),
    "put_concurrency_key": (Action.CONCURRENCY_KEY_UPDATED,),
    "delete_concurrency_key": (Action.CONCURRENCY_KEY_DELETED,),
    "put_namespace": (Action.NAMESPACE_UPDATED,),
    "release_namespace": (Action.NAMESPACE_RELEASED,),
    "create_api_key": (Action.API_KEY_CREATED,),
    "rotate_api_key": (Action.API_KEY_ROTATED,),
    "delete_api_key": (Action.API_KEY_REVOKED,),
    "put_secret": (Action.SECRET_UPDATED,),
    "delete_secret": (Action.SECRET_DELETED,),
    "create_signing_secret": (Action.SIGNING_SECRET_CREATED,),
    "delete_signing_secret": (Action.SIGNING_SECRET_EXPIRED,),
}
NOT_AUDITED: Mapping[str, str] = {
    "preview_schedule": "it changes nothing",
    "log_in": "it changes who may ask, and nothing else: the log tells of it, `session.begun`",
    "log_out": "the same: `session.ended`",
    "heartbeat_run": "a target says every while that it goes on; what it decides is `complete_run`",
}
