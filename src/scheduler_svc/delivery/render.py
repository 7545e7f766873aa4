"""The templates of a job's requests: found once a revision, filled for each attempt.

Promises a request within the same limits as one without templates, or the reason why there is none.
A template that an older version stored as plain text and that is none stays the text it was.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec

from scheduler_svc.delivery.exchange import Unsendable
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.domain.template_places import (
    parse_body,
    parse_header,
    parse_query,
    render_body,
    render_header,
    render_query,
)
from scheduler_svc.domain.templates import OPEN, Facts, SecretGone, Template, TemplateRefused, slots
from scheduler_svc.domain.url import URL_LENGTH_MAX, Url

HEADERS_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 256 * 1024
EACH_LINE = 4
ESCAPE = "\\u"
"""A brace of a JSON text may be written so."""
T = TypeVar("T")


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts of a job fill, by place; headers by their name in lower case."""

    headers: Mapping[str, Template] = {}
    query: Template | None = None
    body: Template | None = None

    def secrets(self) -> frozenset[str]:
        """Return the names of the secrets that go in."""
        return frozenset(self._secrets())

    def private(self) -> frozenset[bytes]:
        """Return the headers, in lower case, that hold a named secret."""
        return frozenset(
            name.encode() for name, template in self.headers.items() if _has_secret(template)
        )

    def _secrets(self) -> Iterator[str]:
        for template in (*self.headers.values(), self.query or ()):
            yield from (slot.secret for slot in slots(template) if slot.secret is not None)


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """The same places with their values; headers by their name in lower case."""

    headers: Mapping[str, str]
    query: str | None
    body: str | None


def templates_of(headers: Mapping[str, str], url: str, body: str | None) -> Templates | None:
    """Find the templates of a request; None where there are none."""
    if not headers and OPEN not in url and not (body and (OPEN in body or ESCAPE in body)):
        return None  # nearly all
    found = {
        name.lower(): template
        for name, value in headers.items()
        if (template := _understood(parse_header, value)) is not None
    }
    query = _understood(lambda text: parse_query(text)[1], url)
    inner = None if body is None else _understood(parse_body, body)
    if not found and query is None and inner is None:
        return None
    return Templates(headers=found, query=query, body=inner)


def fill(templates: Templates, facts: Facts, secrets: Mapping[str, str]) -> Filled:
    """Fill every place; raise Unsendable."""
    try:
        headers = {
            name: _header(name, template, facts, secrets)
            for name, template in templates.headers.items()
        }
        query = None if templates.query is None else render_query(templates.query, facts, secrets)
        body = None if templates.body is None else render_body(templates.body, facts)
    except SecretGone as gone:
        raise Unsendable(f"the secret '{gone.name}' is not there") from None
    if body is not None and len(body.encode()) > BODY_BYTES_MAX:
        raise Unsendable(f"the body is longer than {BODY_BYTES_MAX} bytes once filled in")
    return Filled(headers=headers, query=query, body=body)


def filled_url(url: Url, query: str) -> Url:
    """Give an address a filled query; nothing else of it can change. Raise Unsendable."""
    filled = msgspec.structs.replace(url, target=f"{url.target.partition('?')[0]}?{query}")
    if len(str(filled)) > URL_LENGTH_MAX:
        raise Unsendable(f"the URL is longer than {URL_LENGTH_MAX} characters once filled in")
    return filled


def filled_overrides(overrides: Overrides, filled: Filled) -> Overrides:
    """Return what a trigger changes, filled in."""
    given = overrides.headers or {}
    return Overrides(
        headers={name: filled.headers.get(name.lower(), value) for name, value in given.items()},
        body=overrides.body if filled.body is None else filled.body,
    )


def check_size(headers: Mapping[str, tuple[bytes, bytes]]) -> None:
    """Raise Unsendable where all headers together are longer than a job may set."""
    total = sum(len(name) + len(value) + EACH_LINE for name, value in headers.values())
    if total > HEADERS_BYTES_MAX:
        raise Unsendable(f"the headers take more than {HEADERS_BYTES_MAX} bytes once filled in")


def _header(name: str, template: Template, facts: Facts, secrets: Mapping[str, str]) -> str:
    value = render_header(template, facts, secrets)
    if value is None:
        raise Unsendable(
            f"the header '{name}' holds a control or non-ASCII character once filled in"
        )
    return value


def _has_secret(template: Template) -> bool:
    return any(slot.secret is not None for slot in slots(template))


def _understood(read: Callable[[str], T | None], text: str) -> T | None:
    try:
        return read(text)
    except TemplateRefused:
        return None
