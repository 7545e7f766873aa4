"""A receiver with Flask.

SIGNING_SECRETS=whsec_... SCHEDULER_URL=http://127.0.0.1:8080 flask --app flask_receiver run

With several processes, what one remembers the others do not: keep the marks in the database.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, Response, abort, request

from scheduler_client import Delivery, NotVerified, Remembered, Scheduler, once, verify

SECRETS = os.environ["SIGNING_SECRETS"].split()  # two while a secret is being replaced
log = logging.getLogger(__name__)
scheduler = Scheduler()  # reports need no key: each delivery brings a token
seen = Remembered()
tokens: dict[str, str] = {}
threads = ThreadPoolExecutor(4)
app = Flask(__name__)


@app.post("/report")
def report() -> Response:
    """Do some short work, once."""
    delivery = verified()
    with once(seen, delivery.id) as state:
        if state == "busy":  # an earlier attempt is at it still: ask again in a moment
            return Response(status=503, headers={"Retry-After": "2"})
        if state == "new":
            print("report", delivery.id, delivery.json(), flush=True)
    return Response(status=204)


@app.post("/export")
def export() -> Response:
    """Take long work, answer at once, and report when it is done."""
    threads.submit(work, verified())
    return Response(status=202)


def work(delivery: Delivery) -> None:
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
        scheduler.complete_run(
            delivery.id, tokens.pop(delivery.id), succeeded=False, detail=str(error)
        )
    else:
        scheduler.complete_run(delivery.id, tokens.pop(delivery.id), detail="exported")


def verified() -> Delivery:
    """Look at the raw body, before anything is made of it."""
    try:
        return verify(request.get_data(), request.headers, SECRETS)
    except NotVerified as why:
        log.warning("refused: %s", why)
        abort(401)
