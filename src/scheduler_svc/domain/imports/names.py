"""Names of jobs: what a definition is called, in the letters that names have here.

Promises a name for each draft, none twice in an import.
"""

import re
from typing import Final
from uuid import UUID

from scheduler_svc.domain.imports.draft import Draft, Options
from scheduler_svc.domain.imports.shape import shown

LENGTH_MAX: Final = 128
_SUFFIX_MAX: Final = 6
_ODD: Final = re.compile(r"[^a-z0-9._-]+")


def slug(text: str) -> str:
    """Return a text in the letters that names have: `Nightly Report!` is `nightly-report`."""
    name = _ODD.sub("-", text.lower()).strip("-._")[: LENGTH_MAX - _SUFFIX_MAX].strip("-._")
    if not name:
        return "job"
    try:
        UUID(name)
    except ValueError:
        return name
    return f"job-{name}"


def full_name(space: object, name: str) -> str:
    """Put the space that a definition is in before its name, where it is a space of its own."""
    return f"{space}.{name}" if isinstance(space, str) and space not in {"", "default"} else name


def opened(source: str, wanted: str, options: Options, taken: set[str]) -> Draft:
    """Begin a draft and name it as no other is; say so where that is not what it was called."""
    draft = Draft(source, wanted, options)
    stem = slug(wanted)
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    taken.add(name)
    draft.spec = {"name": name, **draft.spec}
    if name != draft.wanted:
        draft.same("name", f"'{shown(draft.wanted)}' is called {name} here")
    return draft
