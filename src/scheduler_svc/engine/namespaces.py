"""The settings of namespaces as this replica knows them: all, in memory, seconds old at most.

A notice makes it look at once, and so does the loss of the way on which notices come. Where there
is none it looks every REFRESH_SECONDS, else rarely, whether anything changed. Asking for a
namespace reads a dictionary and never the database. While the database is away the last that was
known holds: nobody could have changed it either.
"""

import asyncio

import msgspec

from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.namespaces import NamespaceEgress, NamespaceSettings, egress_of
from scheduler_svc.domain.quotas import NO_QUOTAS, Quotas, quotas_of
from scheduler_svc.domain.retention import Retention
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.store import namespaces
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.namespaces import NamespacesMark
from scheduler_svc.store.pool import Pool, connection, is_database_away

REFRESH_SECONDS, REFRESH_SECONDS_HEARING = 2.0, 10.0
LOAD_SECONDS = 5.0
SETTINGS = msgspec.json.Decoder(NamespaceSettings)


class KnownNamespace(msgspec.Struct, frozen=True):
    """One namespace, read; `settings` is None where this build can not read them."""

    revision: int
    egress: NamespaceEgress | None
    settings: NamespaceSettings | None
    quotas: Quotas


class KnownNamespaces:
    """Every namespace that has settings."""

    def __init__(self, quotas: Quotas = NO_QUOTAS) -> None:
        self._default = quotas
        self.limit_runs = quotas.runs_per_minute is not None
        """Some namespace has a quota of runs a minute: else nobody asks for it."""
        self.changed = Alarm()
        self._mark: NamespacesMark | None = None
        self._known: dict[str, KnownNamespace] = {}

    def egress(self, name: str) -> NamespaceEgress | None:
        """Return the rules that narrow a namespace's calls; None, and at no cost, without any."""
        known = self._known.get(name)
        return None if known is None else known.egress

    def settings(self, name: str) -> NamespaceSettings | None:
        """Return a namespace's settings; None without any."""
        known = self._known.get(name)
        return None if known is None else known.settings

    def known(self, name: str) -> KnownNamespace | None:
        """Return a namespace as it was read; None where it has no settings."""
        return self._known.get(name)

    def any_retention(self) -> bool:
        """True where one keeps history otherwise than all, or says what can not be read."""
        return any(
            one.settings is None or isinstance(one.settings.retention, Retention)
            for one in self._known.values()
        )

    def longest_retention_ms(self) -> int | None:
        """Return the greatest age that one asks for, 0 where none does; None: not to be known."""
        longest = 0
        for one in self._known.values():
            if one.settings is None:
                return None
            if isinstance(one.settings.retention, Retention) and one.settings.retention.age:
                longest = max(longest, milliseconds(one.settings.retention.age))
        return longest

    def quotas(self, name: str) -> Quotas:
        """Return the quotas in force for a namespace."""
        known = self._known.get(name)
        return self._default if known is None else known.quotas

    def alerts(self, name: str) -> Alerts | None:
        """Return whom a namespace tells about its jobs; None where nobody."""
        known = self._known.get(name)
        return None if known is None or known.settings is None else known.settings.alerts

    def forget(self) -> None:
        """Read all anew at the next look: the database is another one."""
        self._mark = None
        self.changed.ring()

    async def load(self, pool: Pool) -> None:
        """Read what changed since the last look; the rules of an unchanged revision stay the same
        object, so that connections that were opened under them are kept.
        """
        async with connection(pool, seconds=LOAD_SECONDS) as conn:
            mark = await namespaces.namespaces_mark(conn)
            if mark == self._mark:
                return
            found = await namespaces.all_namespaces(conn)
        known = {}
        for one in found:
            kept = self._known.get(one.name)
            if kept is None or self._mark is None or kept.revision != one.revision:
                kept = _read(one.revision, one.settings, self._default)
                await asyncio.sleep(0)  # the loop also fires timers, and many lists are work
            known[one.name] = kept
        self._known, self._mark = known, mark
        limits = [self._default, *(one.quotas for one in known.values())]
        self.limit_runs = any(one.runs_per_minute is not None for one in limits)


async def refreshes(known: KnownNamespaces, pool: Pool, *, hears: bool) -> None:
    """Keep them fresh, for ever; `hears` where notices of changes come."""
    while True:
        known.changed.clear()
        try:
            await known.load(pool)
        except Exception as error:
            if not is_database_away(error):
                raise
        every = REFRESH_SECONDS_HEARING if hears else REFRESH_SECONDS
        await known.changed.rest(every, Turn.NAMESPACES)


def _read(revision: int, text: str, default: Quotas) -> KnownNamespace:
    try:
        settings = SETTINGS.decode(text)
    except ValueError:
        settings = None
    return KnownNamespace(revision, egress_of(text), settings, quotas_of(text, default))
