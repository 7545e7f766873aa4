"""A receiver with Starlette.

SIGNING_SECRETS=whsec_... SCHEDULER_URL=http://127.0.0.1:8080 uvicorn starlette_receiver:app
"""

import logging
import os

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scheduler_client import AsyncScheduler, Delivery, NotVerified, Remembered, once, verify

SECRETS = os.environ["SIGNING_SECRETS"].split()  # two while a secret is being replaced
log = logging.getLogger(__name__)
scheduler = AsyncScheduler()  # reports need no key: each delivery brings a token
seen = Remembered()
tokens: dict[str, str] = {}


async def report(request: Request) -> Response:
    """Do some short work, once."""
    delivery = await verified(request)
    if delivery is None:
        return Response(status_code=401)
    with once(seen, delivery.id) as state:
        if state == "busy":  # an earlier attempt is at it still: ask again in a moment
            return Response(status_code=503, headers={"Retry-After": "2"})
        if state == "new":
            print("report", delivery.id, delivery.json(), flush=True)
    return Response(status_code=204)


async def export(request: Request) -> Response:
    """Take long work, answer at once, and report when it is done."""
    delivery = await verified(request)
    if delivery is None:
        return Response(status_code=401)
    return Response(status_code=202, background=BackgroundTask(work, delivery))


async def work(delivery: Delivery) -> None:
    # A later attempt has a new token, and the one before is good no more.
    tokens[delivery.id] = delivery.completion_token or ""
    try:
        with once(seen, delivery.id) as state:
            if state == "busy":
                return
            if state == "new":
                print("export", delivery.id, delivery.json(), flush=True)
    except Exception as error:
        log.exception("the export failed")
        await scheduler.complete_run(
            delivery.id, tokens.pop(delivery.id), succeeded=False, detail=str(error)
        )
    else:
        await scheduler.complete_run(delivery.id, tokens.pop(delivery.id), detail="exported")


async def verified(request: Request) -> Delivery | None:
    try:
        return verify(await request.body(), request.headers, SECRETS)
    except NotVerified as why:
        log.warning("refused: %s", why)
        return None


app = Starlette(
    routes=[
        Route("/report", report, methods=["POST"]),
        Route("/export", export, methods=["POST"]),
    ]
)
