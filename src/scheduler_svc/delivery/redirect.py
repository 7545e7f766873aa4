"""Where a redirect leads and what may go along (RFC 9110, 15.4): nothing secret across origins.

It judges no address: each hop is dialled, or blocked, like any other request.
"""

import re

import msgspec

from scheduler_svc.delivery.exchange import Exchange, HttpRequest
from scheduler_svc.domain.url import Url, UrlRefused, join_url

FOLLOWED = frozenset({301, 302, 303, 307, 308})
BODY_KEPT = frozenset({307, 308})
BODY_HEADERS = frozenset(
    {
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"webhook-signature",  # it was made over the body
    }
)
SECRET = re.compile(
    rb"authorization|proxy-authorization|cookie|webhook-.*|.*-(?<!idempotency-)key|.*-token"
    rb"|scheduler-completion-url",  # of no use without its token
    re.IGNORECASE | re.DOTALL,
)


def next_hop(request: HttpRequest, answer: Exchange) -> HttpRequest | None:
    """Answer the request to follow with, None where the answer stands; raise UrlRefused."""
    location = _location(answer)
    if answer.outcome != "ok" or answer.status_code not in FOLLOWED or location is None:
        return None
    url = join_url(request.url, location)
    changed = msgspec.structs.replace(
        request,
        url=url,
        redirects=request.redirects - 1,
        headers=_headers(request, url),
        may_write=None,  # what was begun is brought to its end
        # Whom it trusts, and as whom it calls, is said of the target alone.
        tls=request.tls if url.origin == request.url.origin else None,
    )
    keeps = answer.status_code in BODY_KEPT or request.method in {"GET", "HEAD", "OPTIONS"}
    keeps = keeps or (answer.status_code != 303 and request.method != "POST")  # noqa: PLR2004
    return changed if keeps else _without_body(changed)


def _location(answer: Exchange) -> str | None:
    found = [value for name, value in answer.headers if name.lower() == "location"]
    if len(found) > 1:
        raise UrlRefused("two Location headers")
    if not found:
        return None
    # Some servers send UTF-8 where only ASCII belongs.
    return found[0].encode("latin-1").decode("utf-8", "replace")


def _headers(request: HttpRequest, url: Url) -> list[tuple[bytes, bytes]]:
    if url.origin == request.url.origin:
        return request.headers
    return [
        (name, value)
        for name, value in request.headers
        if SECRET.fullmatch(name) is None and name.lower() not in request.private
    ]


def _without_body(request: HttpRequest) -> HttpRequest:
    headers = [(name, value) for name, value in request.headers if name.lower() not in BODY_HEADERS]
    return msgspec.structs.replace(request, method="GET", headers=headers, body=b"")
