"""What the jobs of a namespace have in common: its settings, and the egress rules made of them.

A namespace narrows what the operator allows and never widens it: its lists are judged beside the
operator's, and both must agree. Pure: what is resolved and dialled is the business of others.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct

from scheduler_svc.domain.egress import classify
from scheduler_svc.domain.egress_entries import ENTRY_LENGTH_MAX, Entry, parse_entry
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.domain.retention import Asked
from scheduler_svc.domain.url import Url

ENTRIES_MAX = 200
NAMESPACES_MAX = 10_000
NOT_LISTED = "this target is not on the allow list of its namespace"
LISTED = "this target is on the deny list of its namespace"

EntryText = Annotated[
    str,
    Meta(
        max_length=ENTRY_LENGTH_MAX,
        description="A network, a host, `*.host`, each maybe with `:port`; or `:port`.",
        examples=["*.example.com:8443"],
    ),
]
EntryTexts = Annotated[list[EntryText], Meta(max_length=ENTRIES_MAX)]


class EgressLists(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where its jobs may call: with `allow` only what it lists, never what `deny` lists."""

    allow: EntryTexts = []
    deny: EntryTexts = []


class NamespaceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a client may set of a namespace."""

    egress: EgressLists = msgspec.field(default_factory=EgressLists)
    alerts: Alerts | None = None
    retention: Asked = UNSET
    quotas: Quotas = msgspec.field(default_factory=Quotas)


class Namespace(Struct, frozen=True, kw_only=True):
    """A stored namespace; its settings are text, for an older build may not know all of them."""

    name: str
    settings: str
    revision: int
    created_at: datetime
    updated_at: datetime


class NamespaceEgress(Struct, frozen=True, eq=False):
    """The rules of one revision of a namespace; equal only to itself, so that it can be a key."""

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()

    def refuse_url(self, url: Url) -> str | None:
        """Why this URL is refused without a look-up, or None; names are judged again by address."""
        if url.literal:
            return self.refuse_address(url.host, url.port)
        if any(_names(entry, url.host, url.port) for entry in self.deny):
            return LISTED
        # What a network opens shows only when the name is resolved.
        if not self.allow or any(
            _names(entry, url.host, url.port)
            or (entry.network is not None and entry.fits_port(url.port))
            for entry in self.allow
        ):
            return None
        return NOT_LISTED

    def refuse_address(self, text: str, port: int, *, name: str | None = None) -> str | None:
        """Why this address may not be dialled, or None; `name` is what resolved to it."""
        judged = classify(text)
        if any(judged.fits(entry, port) or entry.fits_any_host(port) for entry in self.deny):
            return LISTED
        if not self.allow or any(
            entry.fits_address(judged.address, port) or _names(entry, name, port)
            for entry in self.allow
        ):
            return None
        return NOT_LISTED


NOTHING = NamespaceEgress(deny=(parse_entry("0.0.0.0/0"), parse_entry("::/0")))
"""The rules of a namespace whose settings can not be read: what is not understood opens nothing."""


class _Stored(Struct, frozen=True):
    """Of stored settings only what the sender needs; a newer build may keep more."""

    egress: EgressLists = msgspec.field(default_factory=EgressLists)


_STORED = msgspec.json.Decoder(_Stored)


def egress_of(settings: str) -> NamespaceEgress | None:
    """Make the rules of stored settings; None where they say nothing of egress."""
    try:
        return rules_of(_STORED.decode(settings).egress)
    except ValueError:  # msgspec's too
        return NOTHING


def rules_of(lists: EgressLists) -> NamespaceEgress | None:
    """Make the rules of lists; None where they say nothing, ValueError for what is no entry."""
    made = NamespaceEgress(
        tuple(parse_entry(text) for text in lists.allow),
        tuple(parse_entry(text) for text in lists.deny),
    )
    return made if made.allow or made.deny else None


def _names(entry: Entry, host: str | None, port: int) -> bool:
    return entry.fits_any_host(port) or (host is not None and entry.fits_host(host, port))
