"""Requests and answers as the HTTP library has them: what both worlds share. No network."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from scheduler_client.asks import NOTHING, Answer, Ask
from scheduler_client.place import Place
from scheduler_client.problems import Unreadable
from scheduler_client.retrying import BAD, Lost
from scheduler_client.version import __version__

SECONDS = 30.0
SILENCE_SECONDS = 45.0
"""A stream says something every 15 seconds; this long without a word it is dead."""
MERGE_PATCH = "application/merge-patch+json"
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def lost(error: httpx2.TransportError) -> Lost:
    """Judge a request that got no answer: may the service have taken it?"""
    return Lost(error, sent=not isinstance(error, NEVER_SENT))


def trust(place: Place) -> ssl.SSLContext | bool:
    """Return the HTTP library's `verify`: as usual, or with files of the place.

    Raises OSError for a file that can not be read or used (ssl.SSLError is one), and ValueError for
    a key without its certificate.
    """
    files = place.ca_file, place.client_cert, place.client_key
    if files == (None, None, None) or not place.url.lower().startswith("https:"):
        return True
    context = httpx2.create_ssl_context()
    if place.ca_file is not None:
        context.load_verify_locations(Path(place.ca_file).expanduser())
    if place.client_cert is not None:
        key = None if place.client_key is None else Path(place.client_key).expanduser()
        # A password that none is: nobody is there to be asked for one.
        context.load_cert_chain(Path(place.client_cert).expanduser(), key, password="")
        context.post_handshake_auth = True  # for servers that ask at a path, and not at once
    elif place.client_key is not None:
        raise ValueError(f"{place.client_key}: a client's key needs its certificate")
    return context


def request(place: Place, ask: Ask[Any]) -> dict[str, Any]:
    """Return the arguments of the HTTP library's `build_request`."""
    headers = _credentials(place, ask) | dict(ask.headers)
    sent: dict[str, Any] = {"method": ask.method, "url": place.url + ask.path}
    if ask.body is not NOTHING:
        kind = MERGE_PATCH if ask.method == "PATCH" else "application/json"
        headers = {"Content-Type": kind} | headers
        sent["content"] = json.dumps(ask.body).encode()
    if query := _query(ask.query):
        sent["params"] = query
    return sent | {"headers": headers}


def stream_request(place: Place, query: Mapping[str, object], last: str) -> dict[str, Any]:
    """Return the arguments of the HTTP library's `stream` for the events after the last one."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    ask = Ask(method="GET", path="/events", query=query, headers=headers, read=lambda one: one)
    return request(place, ask) | {"timeout": httpx2.Timeout(SECONDS, read=SILENCE_SECONDS)}


def answer(response: httpx2.Response) -> Answer:
    """Decode an answer that was read; raise Unreadable where it can not be this service's."""
    kind = response.headers.get("content-type", "")
    body: Any = None
    if response.content and "json" in kind:
        try:
            body = json.loads(response.content)
        except ValueError:
            if response.status_code < BAD:
                raise Unreadable(f"{response.url}: the answer is not JSON") from None
    elif response.content and response.status_code < BAD:
        if "html" in kind:
            raise Unreadable(f"{response.url}: what answered is no scheduler-svc: {kind}")
        body = response.text
    if 300 <= response.status_code < BAD and response.status_code != 304:  # noqa: PLR2004
        raise Unreadable(f"{response.url}: redirects to {response.headers.get('location')}")
    headers = {name.lower(): text for name, text in response.headers.items()}
    return Answer(response.status_code, body, headers)


def _credentials(place: Place, ask: Ask[Any]) -> dict[str, str]:
    found = {"User-Agent": f"scheduler-client-python/{__version__}"}
    if (token := ask.token or place.key) is not None:
        found["Authorization"] = f"Bearer {token}"
    if place.namespace is not None and ask.token is None:
        found["Scheduler-Namespace"] = place.namespace
    return found


def _query(given: Mapping[str, object]) -> list[tuple[str, str]]:
    """Write parameters; those that are None are left out, and a list is said several times."""
    return [
        (name, str(one).lower() if isinstance(one, bool) else str(one))
        for name, value in given.items()
        for one in (value if isinstance(value, list | tuple) else [value])
        if one is not None
    ]
