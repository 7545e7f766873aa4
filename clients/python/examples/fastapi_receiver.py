"""A receiver with FastAPI.

SIGNING_SECRETS=whsec_... SCHEDULER_URL=http://127.0.0.1:8080 uvicorn fastapi_receiver:app
"""

import logging
import os
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response

from scheduler_client import AsyncScheduler, Delivery, NotVerified, Remembered, once, verify

SECRETS = os.environ["SIGNING_SECRETS"].split()  # two while a secret is being replaced
log = logging.getLogger(__name__)
scheduler = AsyncScheduler()  # reports need no key: each delivery brings a token
seen = Remembered()
tokens: dict[str, str] = {}
app = FastAPI()


async def verified(request: Request) -> Delivery:
    """Look at the raw body, before anything is made of it."""
    try:
        return verify(await request.body(), request.headers, SECRETS)
    except NotVerified as why:
        log.warning("refused: %s", why)
        raise HTTPException(status_code=401) from None


Verified = Annotated[Delivery, Depends(verified)]


@app.post("/report", status_code=204)
async def report(delivery: Verified, response: Response) -> None:
    """Do some short work, once."""
    with once(seen, delivery.id) as state:
        if state == "busy":  # an earlier attempt is at it still: ask again in a moment
            response.status_code = 503
            response.headers["Retry-After"] = "2"
        if state == "new":
            print("report", delivery.id, delivery.json(), flush=True)


@app.post("/export", status_code=202)
async def export(delivery: Verified, tasks: BackgroundTasks) -> None:
    """Take long work, answer at once, and report when it is done."""
    tasks.add_task(work, delivery)


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
