"""Entity tags and the preconditions made of them (RFC 9110, 8.8.3 and 13.1).

Promises strong tags from revisions and the comparison each header asks for. Reads headers as lists
and refuses what is no list of tags: a precondition that is not understood must not be passed over.
"""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers

from scheduler_svc.domain.errors import Fault, Invalid, PreconditionFailed

_TAG = re.compile(r'(?P<weak>W/)?(?P<opaque>"[\x21\x23-\x7e\x80-\xff]*")')


def of(revision: int) -> str:
    """Return the strong tag of a revision."""
    return f'"{revision}"'


def check(headers: Headers, current: str | None) -> None:
    """Judge the preconditions of a change; `current` is None where the thing does not exist.

    Raises PreconditionFailed, or Invalid for a header that is no list of tags.
    """
    wanted = _listed(headers, "if-match")
    if wanted is not None and not _names(wanted, current, weak=False):
        raise PreconditionFailed(_changed(current))
    unwanted = _listed(headers, "if-none-match")
    if unwanted is not None and _names(unwanted, current, weak=True):
        raise PreconditionFailed(
            "It exists already." if unwanted == ["*"] else f"It still has the ETag {current}."
        )


def not_modified(headers: Headers, current: str) -> bool:
    """Tell whether a GET may be answered with 304."""
    unwanted = _listed(headers, "if-none-match")
    return unwanted is not None and _names(unwanted, current, weak=True)


def _changed(current: str | None) -> str:
    return "It does not exist." if current is None else f"It has changed: its ETag is {current}."


def _names(tags: list[str], current: str | None, *, weak: bool) -> bool:
    """Compare: the strong way takes no weak tag, the weak way overlooks the mark."""
    if current is None:
        return False
    if tags == ["*"]:
        return True
    return current in (map(_strip, tags) if weak else tags)


def _strip(tag: str) -> str:
    return tag.removeprefix("W/")


def _listed(headers: Headers, name: str) -> list[str] | None:
    lines = headers.getlist(name)
    if not lines:
        return None
    return list(_tags(", ".join(lines), name))


def _tags(text: str, name: str) -> Iterable[str]:
    if text.strip() == "*":
        return ["*"]
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in ", \t":
            at += 1
            continue
        match = _TAG.match(text, at)
        if match is None or text[match.end() : match.end() + 1] not in {"", ",", " ", "\t"}:
            raise _refusal(name)
        found.append(match[0])
        at = match.end()
    if not found:
        raise _refusal(name)
    return found


def _refusal(name: str) -> Invalid:
    shown = "-".join(part.capitalize() for part in name.split("-"))
    detail = 'must be * or a list of entity tags in double quotes, like "3"'
    return Invalid([Fault("", detail, parameter=shown)])
