"""Live and ready: is the process there, and should it be sent requests.

`/healthz` asks nobody. What readiness looks at is the process's business (`Deps.ready`).
"""

from msgspec import Struct

from scheduler_svc.api.context import Call, Readiness, Reply
from scheduler_svc.api.problems import RETRY_AFTER_SECONDS
from scheduler_svc.api.route import Answer, Route


class Health(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str


async def healthz(_call: Call) -> Reply:
    return Reply(body=Health(status="ok"))


async def readyz(call: Call) -> Reply:
    readiness = await call.deps.ready()
    if readiness.status == "ok":
        return Reply(body=readiness)
    return Reply(status=503, body=readiness, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=healthz,
        operation_id="get_health",
        summary="Is the process there? Asks no database.",
        tag="service",
        answers={200: Answer(description="It is.", type=Health, example={"status": "ok"})},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=readyz,
        operation_id="get_readiness",
        summary="May this replica be sent requests?",
        description="Looks at the database, its schema, and the age of the engine's last tick.",
        tag="service",
        answers={
            200: Answer(description="It may.", type=Readiness),
            503: Answer(
                description="It may not, and why.",
                type=Readiness,
                headers={"Retry-After": "Seconds until it is worth to ask again."},
            ),
        },
    ),
)
