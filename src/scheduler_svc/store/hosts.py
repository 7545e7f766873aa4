"""The way to one of several hosts: each has its share of the time, and the last good one is first.

Promises that a host that is dark (its packets are lost, or it takes connections and says nothing)
keeps nobody from the others: the driver gives one time-out to all of them, and the first has it.
Nor does a former primary that takes writes. An address of one host is left to the driver.
"""

import asyncio
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from scheduler_svc.store.away import is_database_away
from scheduler_svc.store.lineage import FormerPrimary, Lineage

PREFERRED = "prefer-standby"
DEFAULT_PORT = 5432
Opened: TypeAlias = "asyncpg.Connection[Any]"
Place: TypeAlias = "tuple[str, int]"


class Hosts:
    """Where an address leads to; `lineage` refuses those whose place another has taken."""

    def __init__(self, dsn: str, lineage: Lineage | None = None) -> None:
        self._dsn = dsn
        self._lineage = lineage
        self._places = places_of(dsn)
        self._first = 0
        """Which was good last: a dark host costs its share once, and not each new connection."""

    async def connect(self, *_dsn: Any, **options: Any) -> Opened:
        """Connect to the first host that will do, starting from the last good one.

        `options` are the driver's; its `timeout` is for all hosts together. Raises what the last of
        them said, or that there was a former primary; what no other host mends is raised at once.
        """
        if not self._places:
            return await self._judged(**options)
        deadline = asyncio.get_running_loop().time() + options.pop("timeout")
        wanted = self._rounds()
        told: Exception = OSError("no host")
        for turn, (number, only) in enumerate(wanted):
            left = deadline - asyncio.get_running_loop().time()
            host, port = self._places[number]
            try:
                opened = await self._judged(
                    host=host, port=port, timeout=left / (len(wanted) - turn), **only, **options
                )
            except Exception as error:
                if not is_database_away(error):
                    raise
                told = told if isinstance(told, FormerPrimary) else error
            else:
                self._first = number
                return opened
        raise told

    def _rounds(self) -> list[tuple[int, dict[str, str]]]:
        """Return which host is asked when, and for what: a preferred standby first, of any host."""
        count = len(self._places)
        order = [(self._first + turn) % count for turn in range(count)]
        if _query(self._dsn).get("target_session_attrs") != PREFERRED:
            return [(number, {}) for number in order]
        kinds = ("standby", "any")
        return [(number, {"target_session_attrs": kind}) for kind in kinds for number in order]

    async def _judged(self, **options: Any) -> Opened:
        async with asyncio.timeout(options["timeout"]):  # for the judging too: it may go dark then
            opened: Opened = await asyncpg.connect(self._dsn, **options)
            if self._lineage is not None:
                try:
                    await self._lineage.judge(opened)
                except BaseException:
                    opened.terminate()
                    raise
        return opened


def places_of(dsn: str) -> list[Place]:
    """Return the hosts and ports of an address that names several; of any other, none."""
    spec = urlsplit(dsn).netloc.rpartition("@")[2]
    query = _query(dsn)
    specs = (spec or query.get("host", "")).split(",")
    if len(specs) == 1:
        return []
    ports = query.get("port", "").split(",")
    if len(ports) != len(specs):
        ports = ports[:1] * len(specs)
    return [_place(one, port) for one, port in zip(specs, ports, strict=True)]


def _place(spec: str, port: str) -> Place:
    """Take `host`, `host:port`, `[::1]:port` or the folder of a socket apart."""
    if spec.startswith("/"):
        host, own = spec, ""
    elif spec.startswith("["):
        host, _, rest = spec[1:].partition("]")
        own = rest.removeprefix(":")
    else:
        host, _, own = spec.partition(":")
    return unquote(host), int(own or port or DEFAULT_PORT)


def _query(dsn: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items()}
