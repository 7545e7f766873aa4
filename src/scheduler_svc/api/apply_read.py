"""What a file of jobs comes to, found out without a lock: created, changed, deleted, or as it is.

Promises every fault of every item, and a word for what was found by which a later request can tell
that nothing has changed since. Writes nothing and locks no row.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

import msgspec
from msgspec import Raw, Struct

from scheduler_svc.api.apply_same import is_same, with_kept_body
from scheduler_svc.api.bulk_read import BulkReader, Draft
from scheduler_svc.api.check_definition import read_definition, surely_shaped
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_edit import bench_of
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.api.validate_json import member
from scheduler_svc.api.wire_apply import PLAN_LENGTH
from scheduler_svc.domain.errors import Fault, Invalid, Malformed
from scheduler_svc.domain.jobs import Definition, Job
from scheduler_svc.domain.ownership import OWNER_LABEL, owner_of

AT_ONCE = 10
NAMED_AT_ONCE = 200
"""Items judged, or only named, before the loop turns to others."""
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_LABELS = msgspec.json.Decoder(dict[str, Raw])
_ENCODER = msgspec.json.Encoder()


class Item(Struct, frozen=True):
    """One job of a request: its place, its name where it has one, and its text, owner included."""

    index: int
    name: str | None
    raw: bytes
    faults: tuple[Fault, ...] = ()


class Change(Struct, frozen=True):
    """A job that becomes another."""

    index: int
    before: Job
    definition: Definition


class Found(Struct):
    """What is to be done, and what stands against it, by index."""

    drafts: list[Draft] = []
    changes: list[Change] = []
    deleted: list[Job] = []
    unchanged: int = 0
    faults: dict[int, list[Fault]] = {}
    kept_by_others: list[Fault] = []


async def items_of(raws: Sequence[Raw], owner: str | None) -> list[Item]:
    """Read the names of jobs and give each its owner; a name is what tells them apart."""
    places: dict[str, int] = {}
    made: list[Item] = []
    for index, raw in enumerate(raws):
        made.append(_item(index, bytes(raw), owner, places))
        if index % NAMED_AT_ONCE == NAMED_AT_ONCE - 1:
            await asyncio.sleep(0)
    return made


def _item(index: int, raw: bytes, owner: str | None, places: dict[str, int]) -> Item:
    try:
        members = _MEMBERS.decode(raw)
        name = msgspec.json.decode(members.get("name", b"null"), type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        detail = "is required: by its name a job is found again"
        return Item(index, None, raw, (Fault("/name", detail),))
    first = places.setdefault(name, index)
    if first != index:
        detail = f"'{name[:128]}' is the name of /jobs/{first} too; a name may be given once"
        return Item(index, name, raw, (Fault("/name", detail),))
    if owner is None:
        return Item(index, name, raw)
    try:
        labels = _LABELS.decode(members.get("labels", b"{}"))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Item(index, name, raw)  # judging tells what is wrong
    word = _ENCODER.encode(owner)
    if bytes(labels.get(OWNER_LABEL, word)) != word:
        detail = f"names another owner than the request, '{owner}'"
        return Item(index, name, raw, (Fault(member("/labels", OWNER_LABEL), detail),))
    members["labels"] = Raw(_ENCODER.encode({**labels, OWNER_LABEL: Raw(word)}))
    return Item(index, name, _ENCODER.encode(members))


class Judge:
    """Holds the items of one request against the jobs that are stored, all as of one instant."""

    def __init__(
        self, call: Call, secrets: frozenset[str], rules: NamespaceRules, *, take_over: bool
    ) -> None:
        self.reader = BulkReader(call, call.deps.now_ms(), secrets=secrets, rules=rules)
        self._call = call
        self._secrets = secrets
        self._rules = rules
        self._take_over = take_over

    async def look(self, items: Sequence[Item], stored: dict[str, Job]) -> Found:
        """Judge items, a few at a time with the loop free in between."""
        found = Found()
        for item in items:
            self._look(item, stored.get(item.name or ""), found)
            if item.index % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        return found

    def _look(self, item: Item, job: Job | None, found: Found) -> None:
        faults = list(item.faults)
        try:
            if job is None or faults:
                found.drafts.append(self.reader.read(item.index, item.raw))
            elif (definition := self._other(item, job)) is None:
                found.unchanged += 1
            else:
                found.changes.append(Change(item.index, job, definition))
                found.kept_by_others += self._kept(item, job, definition)
        except Invalid as refused:
            known = {fault.pointer for fault in faults}
            faults += [fault for fault in refused.faults if fault.pointer not in known]
        except Malformed as refused:
            faults.append(Fault("", refused.detail))
        if faults:
            found.faults[item.index] = faults

    def _other(self, item: Item, job: Job) -> Definition | None:
        """Return what a job becomes; None where it stays as it is. Raises Malformed, Invalid."""
        given = surely_shaped(item.raw)
        if given is not None and is_same(given, job.definition):
            return None
        bench = bench_of(self._call, job, self.reader.now_ms, self._secrets, self._rules)
        definition = with_kept_body(read_definition(item.raw, bench), job.definition)
        return None if definition == job.definition else definition

    def _kept(self, item: Item, job: Job, definition: Definition) -> list[Fault]:
        """Name whoever keeps a job, where that is somebody else."""
        theirs = owner_of(job.definition.labels)
        if theirs in {None, owner_of(definition.labels)} or self._take_over:
            return []
        detail = f"the job '{item.name}' is kept by '{theirs}'; `take_over` changes it all the same"
        return [Fault(f"/jobs/{item.index}", detail, "conflict")]


def plan_of(items: Sequence[Item], stored: dict[str, Job], deleted: Sequence[Job]) -> str:
    """Return a word for what was found: it is another as soon as any of these jobs is."""
    lines = [f"{item.name} {_mark(stored.get(item.name or ''))}" for item in items]
    lines += [f"- {_mark(job)}" for job in deleted]
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:PLAN_LENGTH]


def _mark(job: Job | None) -> str:
    return "-" if job is None else f"{job.id} {job.revision}"
