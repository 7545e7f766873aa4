"""A receiver with Django, in one file; a project of yours has the settings elsewhere.

SIGNING_SECRETS=whsec_... SCHEDULER_URL=http://127.0.0.1:8080 \
    python django_receiver.py runserver --noreload

With several processes, what one remembers the others do not: keep the marks in the database.
"""

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from scheduler_client import Delivery, NotVerified, Remembered, Scheduler, once, verify

SECRETS = os.environ["SIGNING_SECRETS"].split()  # two while a secret is being replaced
log = logging.getLogger(__name__)
scheduler = Scheduler()  # reports need no key: each delivery brings a token
seen = Remembered()
tokens: dict[str, str] = {}
threads = ThreadPoolExecutor(4)


def report(request: HttpRequest) -> HttpResponse:
    """Do some short work, once."""
    delivery = verified(request)
    if delivery is None:
        return HttpResponse(status=401)
    with once(seen, delivery.id) as state:
        if state == "busy":  # an earlier attempt is at it still: ask again in a moment
            return HttpResponse(status=503, headers={"Retry-After": "2"})
        if state == "new":
            print("report", delivery.id, delivery.json(), flush=True)
    return HttpResponse(status=204)


def export(request: HttpRequest) -> HttpResponse:
    """Take long work, answer at once, and report when it is done."""
    delivery = verified(request)
    if delivery is None:
        return HttpResponse(status=401)
    threads.submit(work, delivery)
    return HttpResponse(status=202)


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


def verified(request: HttpRequest) -> Delivery | None:
    """Look at the raw body, before anything is made of it."""
    try:
        return verify(request.body, request.headers, SECRETS)
    except NotVerified as why:
        log.warning("refused: %s", why)
        return None


# The signature stands in for the token that Django asks of its own forms.
urlpatterns = [
    path("report", csrf_exempt(require_POST(report))),
    path("export", csrf_exempt(require_POST(export))),
]

if __name__ == "__main__":
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=os.urandom(32).hex(),
    )
    execute_from_command_line(sys.argv)
