"""Where templates may stand, and how what they insert is written there: query, header, JSON string.

Promises that an inserted value stays a value: it can not end a string, a parameter or a line, and
nothing before the `?` of an address can be a template.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from scheduler_svc.domain.templates import (
    OPEN,
    Facts,
    Slot,
    Template,
    TemplateRefused,
    parse,
    value_of,
)
from scheduler_svc.domain.url import TARGET_SAFE

FILLED = "x"
"""Stands for a value where an address is judged; `%` can not make an escape of it."""
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACE = re.compile(r"\\u007b", re.IGNORECASE)


def parse_query(url: str) -> tuple[str, Template | None]:
    """Return an address as it is judged, and the template of its query; raise TemplateRefused."""
    if OPEN not in url:
        return url, None
    head, _, query = url.partition("?")
    if OPEN in head:
        raise TemplateRefused(
            "holds a template outside the query; scheme, host, port and path are always fixed"
        )
    template = parse(query, secrets=True)
    filled = "".join(part if isinstance(part, str) else FILLED for part in template)
    return f"{head}?{filled}", template


def parse_header(value: str) -> Template | None:
    """Return the template of a header's value, None where there is none; raise TemplateRefused."""
    return parse(value, secrets=True) if OPEN in value else None


def parse_body(text: str) -> Template | None:
    """Return the template of a JSON text: its strings are looked at, its rest is kept.

    None where there is none; raise TemplateRefused.
    """
    if OPEN not in text and _BRACE.search(text) is None:
        return None
    parts: list[str | Slot] = []
    at = 0
    for found in _STRING.finditer(text):
        inner: str = msgspec.json.decode(found[0])
        if OPEN not in inner:
            continue
        parts += [text[at : found.start()], '"']
        parts += [_escaped(one) if isinstance(one, str) else one for one in _parsed(inner)]
        parts.append('"')
        at = found.end()
    return (*parts, text[at:]) if parts else None


def render_query(template: Template, facts: Facts, secrets: Mapping[str, str]) -> str:
    """Write a query: texts as an address holds them, values fully percent-encoded."""
    return "".join(
        quote(part, safe=TARGET_SAFE)
        if isinstance(part, str)
        else quote(value_of(part, facts, secrets), safe="")
        for part in template
    )


def render_header(template: Template, facts: Facts, secrets: Mapping[str, str]) -> str | None:
    """Write a header's value; None where it can not be one, for what was inserted."""
    value = "".join(
        part if isinstance(part, str) else value_of(part, facts, secrets) for part in template
    )
    return value if HEADER_VALUE.fullmatch(value) else None


def render_body(template: Template, facts: Facts) -> str:
    """Write a JSON text: what is inserted is escaped as the inside of a string."""
    return "".join(
        part if isinstance(part, str) else _escaped(value_of(part, facts, {})) for part in template
    )


def _parsed(inner: str) -> Template:
    return parse(inner, secrets=False)


def _escaped(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()
