"""The figures of this service for Prometheus. What they are is the process's business."""

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, HeaderParam, Route
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.errors import Forbidden


async def get_metrics(call: Call) -> Reply:
    """Tell the figures of all namespaces together, to callers who may see them all."""
    if call.caller.namespace != EVERY:
        raise Forbidden("The metrics count all namespaces; they are for keys of all of them.")
    text, media_type = await call.deps.metrics(call.headers.get("accept", ""))
    return Reply(body=text, media_type=media_type)


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        handler=get_metrics,
        operation_id="get_metrics",
        summary="Metrics for Prometheus.",
        description="Text 0.0.4, or OpenMetrics 1.0.0 where `Accept` asks for it; of every worker"
        " behind this port.",
        tag="service",
        scope="events:read",
        headers=(HeaderParam(name="Accept", description="`application/openmetrics-text` or any."),),
        answers={200: Answer(description="The metrics.", media_type="text/plain")},
    ),
)
