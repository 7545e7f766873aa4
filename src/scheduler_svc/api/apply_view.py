"""The answer about a file of jobs: what is done to each, and in a dry run what that means.

Promises bounds: of the first so many jobs it tells which parts change and when they would fire, of
the others only what is done to them. Secrets are masked.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from msgspec import UNSET, json

from scheduler_svc.api.apply_read import AT_ONCE, Found
from scheduler_svc.api.job_compare import comparison, would_be
from scheduler_svc.api.validate_json import member
from scheduler_svc.api.wire_apply import Applied, ApplyChange, ApplyItem
from scheduler_svc.domain.audit_change import job_document
from scheduler_svc.domain.jobs import Job

DETAILED_MAX = 1000
"""Jobs of which a dry run tells all."""
CHANGES_MAX = 50
PART_MAX = 256
FIRES = 5
_KEPT = ("state", "revision", "pause")
"""Parts of a document that no file holds."""


def applied(found: Found, plan: str, ids: Mapping[int, UUID]) -> Applied:
    """Say what was done."""
    items = [
        ApplyItem(
            index=draft.index, name=_name(draft.job), action="create", id=ids.get(draft.index)
        )
        for draft in found.drafts
    ]
    items += [
        ApplyItem(
            index=change.index, name=_name(change.before), action="change", id=change.before.id
        )
        for change in found.changes
    ]
    items += [
        ApplyItem(index=None, name=_name(job), action="delete", id=job.id) for job in found.deleted
    ]
    return _answer(found, plan, items)


async def planned(found: Found, plan: str, now_ms: int) -> Applied:
    """Say what would be done, a few jobs at a time with the loop free in between."""
    items: list[ApplyItem] = []
    for item in _items(found, now_ms):
        items.append(item)
        if len(items) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return _answer(found, plan, items)


def _answer(found: Found, plan: str, items: list[ApplyItem]) -> Applied:
    return Applied(
        created=len(found.drafts),
        changed=len(found.changes),
        deleted=len(found.deleted),
        unchanged=found.unchanged,
        plan=plan,
        items=sorted(items, key=lambda item: (item.index is None, item.index or 0, item.name)),
    )


def _items(found: Found, now_ms: int) -> Iterator[ApplyItem]:
    """Write the items; beyond DETAILED_MAX without what costs something to find out."""
    left = DETAILED_MAX
    for change in found.changes:
        before, left = change.before, left - 1
        after = would_be(before, change.definition)
        moves = before.definition.schedule != change.definition.schedule
        yield ApplyItem(
            index=change.index,
            name=_name(before),
            action="change",
            id=before.id,
            changes=_changes(before, after) if left >= 0 else [],
            fires=comparison(before, after, now_ms=now_ms, count=FIRES)
            if moves and left >= 0
            else None,
        )
    for draft in found.drafts:
        left -= 1
        fires = None
        if left >= 0:
            fires = comparison(None, draft.job, now_ms=now_ms, count=FIRES)
        yield ApplyItem(
            index=draft.index, name=_name(draft.job), action="create", id=None, fires=fires
        )
    for job in found.deleted:
        left -= 1
        fires = comparison(job, None, now_ms=now_ms, count=FIRES) if left >= 0 else None
        yield ApplyItem(index=None, name=_name(job), action="delete", id=job.id, fires=fires)


def _changes(before: Job, after: Job) -> list[ApplyChange]:
    was, now = job_document(before), job_document(after, before)
    for name in _KEPT:
        was.pop(name, None)
        now.pop(name, None)
    found = list(_leaves("", was, now))
    return found[:CHANGES_MAX]


def _leaves(pointer: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[ApplyChange]:
    """Yield what differs, as deep as both sides have the same members."""
    for name in {**was, **now}:
        old, new = was.get(name, UNSET), now.get(name, UNSET)
        here = member(pointer, name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _leaves(here, old, new)
        elif old is UNSET or new is UNSET or json.encode(old) != json.encode(new):
            yield ApplyChange(pointer=here, before=_short(old), after=_short(new))


def _short(value: Any) -> Any:
    """Put the size in the place of what is long."""
    if value is UNSET:
        return value
    size = len(json.encode(value))
    return value if size <= PART_MAX else {"omitted_bytes": size}


def _name(job: Job) -> str:
    """Return the name that brought a job here."""
    name = job.definition.name
    if name is None:
        raise ValueError("a job without a name in a file")
    return name
