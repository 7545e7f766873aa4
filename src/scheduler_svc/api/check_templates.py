"""Templates in what a client sends: what an attempt could not fill is refused here, with its place.

Promises that every label and every secret that is named is there at that moment.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from msgspec import Struct

from scheduler_svc.api.context import Call
from scheduler_svc.api.validate_json import member
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import BearerAuth, Definition, Target
from scheduler_svc.domain.secrecy import MASK
from scheduler_svc.domain.template_places import (
    HEADER_VALUE,
    parse_body,
    parse_header,
    parse_query,
)
from scheduler_svc.domain.templates import (
    Template,
    TemplateRefused,
    near_miss,
    slots,
)
from scheduler_svc.store.pool import Connection, connection
from scheduler_svc.store.secrets import list_secrets

NAMES_MAX = 1000
MENTIONED = b"secret:"
NO_NAMES = frozenset[str]()


class Fillers(Struct, frozen=True, kw_only=True):
    """What templates may name: the job's labels, and secrets; None where labels are not known.

    `kept` are texts that are stored already: one that is no template was stored before there were
    any, is sent as it is, and does not keep the rest of its job from being edited.
    """

    labels: Mapping[str, str] | None
    secrets: frozenset[str]
    kept: frozenset[str] = frozenset()


async def secret_names(call: Call) -> frozenset[str]:
    """Return the names of the namespace's secrets, where the request mentions any."""
    if MENTIONED not in call.body:
        return NO_NAMES
    async with connection(call.deps.pool) as conn:
        return await names_of(conn, call.namespace)


async def names_of(conn: Connection, namespace: str) -> frozenset[str]:
    """Return the names of a namespace's secrets."""
    rows = await list_secrets(conn, namespace, after="", at_most=NAMES_MAX)
    return frozenset(row.name for row in rows)


def named_in(definition: Definition | None) -> frozenset[str]:
    """Return the secrets that a stored definition names in the open: those stay good."""
    if definition is None:
        return NO_NAMES
    target = definition.target
    found: list[Template] = []
    for read, text in [(parse_header, value) for value in target.headers.values()] + [
        (_query, target.url)
    ]:
        try:
            found.append(read(text) or ())
        except TemplateRefused:
            continue
    return frozenset(slot.secret for one in found for slot in slots(one) if slot.secret)


def kept_texts(definition: Definition | None) -> frozenset[str]:
    """Return the texts of a stored definition in which templates may stand."""
    if definition is None:
        return NO_NAMES
    target = definition.target
    return frozenset((*target.headers.values(), bytes(target.body).decode()))


def template_faults(target: Target, fillers: Fillers) -> Iterator[Fault]:
    """Name every fault of a target's templates, the address's form aside."""
    yield from header_template_faults(target.headers, fillers, "/headers")
    if isinstance(target.auth, BearerAuth):
        yield from _header_faults(target.auth.token, fillers, "/auth/token")
    with suppress(TemplateRefused):  # `check_target` says so
        yield from _slot_faults(_query(target.url) or (), fillers, "/url", in_header=False)
    yield from body_template_faults(bytes(target.body), fillers, "/body")


def header_template_faults(
    headers: Mapping[str, str], fillers: Fillers, pointer: str
) -> Iterator[Fault]:
    """Name every fault of the templates in headers."""
    for name, value in headers.items():
        if value != MASK:
            yield from _header_faults(value, fillers, member(pointer, name))


def body_template_faults(body: bytes, fillers: Fillers, pointer: str) -> Iterator[Fault]:
    """Name every fault of the templates in the strings of a JSON body."""
    try:
        template = parse_body(body.decode())
    except TemplateRefused as refused:
        if body.decode() not in fillers.kept:
            yield Fault(pointer, refused.reason)
        return
    yield from _slot_faults(template or (), fillers, pointer, in_header=False)


def _header_faults(value: str, fillers: Fillers, pointer: str) -> Iterator[Fault]:
    try:
        template = parse_header(value)
    except TemplateRefused as refused:
        if value not in fillers.kept:
            yield Fault(pointer, refused.reason)
        return
    yield from _slot_faults(template or (), fillers, pointer, in_header=True)


def _slot_faults(
    template: Template, fillers: Fillers, pointer: str, *, in_header: bool
) -> Iterator[Fault]:
    for slot in slots(template):
        secret, label = slot.secret, slot.label
        if secret is not None and secret not in fillers.secrets:
            near = near_miss(secret, fillers.secrets)
            make = f"make it with PUT /secrets/{secret[:128]}"
            yield Fault(
                pointer,
                f"asks for the secret '{secret[:128]}', which there is not{near or f'; {make}'}",
            )
        if label is not None and fillers.labels is not None:
            yield from _label_faults(label, fillers.labels, pointer, in_header=in_header)


def _label_faults(
    label: str, labels: Mapping[str, str], pointer: str, *, in_header: bool
) -> Iterator[Fault]:
    if label not in labels:
        near = near_miss(label, labels)
        yield Fault(pointer, f"asks for the label '{label[:64]}', which the job has not{near}")
    elif in_header and not HEADER_VALUE.fullmatch(labels[label]):
        yield Fault(
            pointer,
            f"asks for the label '{label}', whose value no header can hold: it has a control or"
            " non-ASCII character",
        )


def _query(url: str) -> Template | None:
    return parse_query(url)[1]
