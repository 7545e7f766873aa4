"""Where an imported job calls: its own address, or one made by the template that a person gives.

Promises that what comes from a definition stays text: our templates begin with `{{`, and what
looks like one in a foreign command or body is written so that it is sent as it stands.
"""

import re
from typing import Any, Final
from urllib.parse import quote

from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.shape import shown
from scheduler_svc.domain.url import UrlRefused, parse_url

NAME: Final = "{name}"
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_OURS: Final = re.compile(
    r"host|content-length|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect"
    r"|accept-encoding|traceparent|idempotency-key|(proxy|webhook|scheduler)-.*",
    re.IGNORECASE,
)
_NAME_OF_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE_OF_HEADER: Final = re.compile(r"[\t\x20-\x7e]*")
_SECRET: Final = re.compile(r"authorization|cookie|.*-key|.*-token", re.IGNORECASE)
_LONGEST: Final = "30m"


class TemplateMisused(ValueError):
    """The address that a person gave for jobs without one cannot be meant."""


def judge_template(text: str) -> None:
    """Raise TemplateMisused with a sentence where it is no address with `{name}`."""
    odd = [found for found in _PLACE.findall(text) if found != "name"]
    if odd or NAME not in text:
        raise TemplateMisused(f"'{shown(text)}' must hold {NAME}, and no other braces")
    try:
        parse_url(text.replace(NAME, "x"))
    except UrlRefused as refused:
        raise TemplateMisused(f"'{shown(text)}' {refused.reason}") from None


def by_template(draft: Draft, what: str, body: dict[str, Any]) -> None:
    """Let a job without an address call the one of the template, with what it is in the body."""
    if draft.options.target is None:
        draft.leave_out(
            "target",
            f"{what} has no address: say --target https://.../{NAME}, where something runs it",
        )
        return
    url = draft.options.target.replace(NAME, quote(draft.name or "job", safe=""))
    draft.target.update(url=url, body=plain(body), timeout=_LONGEST)
    draft.decide("target", f"{what} has no address: what --target names must be able to run it")
    draft.differs(
        "timeout",
        f"a run is one call of at most {_LONGEST}; what takes longer reports its end by itself"
        " (target.completion: callback)",
    )


def set_url(draft: Draft, url: str) -> None:
    """Set an address of the definition's own."""
    kept = url.replace("{{", "{{'{{'}}") if "?" in url else url
    try:
        parse_url(url)
    except UrlRefused as refused:
        raise Unfit("target", f"the address '{shown(url)}' {refused.reason}") from None
    draft.target["url"] = kept


def set_headers(draft: Draft, headers: dict[str, str], system: str) -> None:
    """Set those headers that a job may have, and tell of the others."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if _OURS.fullmatch(name):
            draft.differs("payload", f"the header {shown(name)} is this service's own to set")
        elif not _NAME_OF_HEADER.fullmatch(name) or not _VALUE_OF_HEADER.fullmatch(value):
            draft.decide("payload", f"the header '{shown(name)}' cannot be sent and is left out")
        else:
            kept[name] = plain(value)
            if _SECRET.fullmatch(name):
                draft.decide(
                    "payload",
                    f"the header {name} is a secret of {system}'s and stands in this file: put it"
                    " into a named secret",
                )
    if kept:
        draft.target["headers"] = kept


def plain(value: Any) -> Any:
    """Write texts so that nothing in them is taken for a template."""
    match value:
        case str():
            return value.replace("{{", "{{'{{'}}")
        case dict():
            return {str(plain(key)): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return plain(str(value))
