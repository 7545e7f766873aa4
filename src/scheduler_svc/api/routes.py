"""Every route of the API, in the order of the documentation."""

from functools import lru_cache

import msgspec

from scheduler_svc.api import (
    audit_list,
    backfill_cancel,
    backfill_create,
    backfill_get,
    backfills_list,
    bulk_actions,
    docs,
    events,
    explain,
    forecast,
    health,
    holds,
    job_delete,
    job_get,
    job_patch,
    job_pause,
    job_put,
    job_trigger,
    jobs_apply,
    jobs_bulk,
    jobs_create,
    jobs_file,
    jobs_list,
    key_get,
    key_put,
    keys,
    keys_list,
    metrics,
    namespace_put,
    namespaces,
    openapi,
    preview,
    replay_cancel,
    replay_create,
    replay_get,
    replays_list,
    replicas,
    run_cancel,
    run_complete,
    run_get,
    run_replay,
    runs_list,
    secrets,
    session_routes,
    signing_secrets,
    well_known,
)
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route


async def get_openapi(call: Call) -> Reply:
    """Answer with the document of the very routes below."""
    return Reply(body=document(call.deps.version, call.deps.public_url))


@lru_cache(maxsize=1)
def document(version: str, public_url: str | None) -> bytes:
    """Return the OpenAPI document of the routes below, made once."""
    return msgspec.json.encode(openapi.document(ROUTES, version=version, public_url=public_url))


OPENAPI = Route(
    method="GET",
    path="/openapi.json",
    handler=get_openapi,
    operation_id="get_openapi",
    summary="This document.",
    tag="service",
    answers={200: Answer(description="An OpenAPI 3.1 document.", type=dict[str, msgspec.Raw])},
)

ROUTES: tuple[Route, ...] = (
    *jobs_create.ROUTES,
    *jobs_bulk.ROUTES,
    *bulk_actions.ROUTES,
    *jobs_apply.ROUTES,
    *jobs_list.ROUTES,
    *job_get.ROUTES,
    *explain.ROUTES,
    *job_put.ROUTES,
    *job_patch.ROUTES,
    *job_delete.ROUTES,
    *job_pause.ROUTES,
    *job_trigger.ROUTES,
    *backfill_create.ROUTES,
    *backfills_list.ROUTES,
    *backfill_get.ROUTES,
    *backfill_cancel.ROUTES,
    *runs_list.ROUTES,
    *run_get.ROUTES,
    *run_cancel.ROUTES,
    *run_complete.ROUTES,
    *run_replay.ROUTES,
    *replay_create.ROUTES,
    *replays_list.ROUTES,
    *replay_get.ROUTES,
    *replay_cancel.ROUTES,
    *keys_list.ROUTES,
    *key_get.ROUTES,
    *key_put.ROUTES,
    *namespaces.ROUTES,
    *namespace_put.ROUTES,
    *holds.ROUTES,
    *preview.ROUTES,
    *forecast.ROUTES,
    *keys.ROUTES,
    *audit_list.ROUTES,
    *replicas.ROUTES,
    *events.ROUTES,
    *secrets.ROUTES,
    *signing_secrets.ROUTES,
    *well_known.ROUTES,
    *session_routes.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    OPENAPI,
    *jobs_file.ROUTES,
    *docs.ROUTES,
)
