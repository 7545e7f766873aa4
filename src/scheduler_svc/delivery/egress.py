"""The way out: resolve once, judge every address, dial exactly one that was judged.

No host name ever reaches a library that would resolve it again, so what DNS says after the check
does not matter. Literal addresses are refused with their rule; names only with the word that their
address may not be called, or the answer would be an oracle of the inside.
"""

import asyncio
import errno
import socket
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain, zip_longest
from time import perf_counter
from typing import NamedTuple

from scheduler_svc.delivery.exchange import ExchangeOutcome
from scheduler_svc.delivery.resolve import Directory
from scheduler_svc.domain.egress import OWN_DENIED, EgressRules, check_literal, classify
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.url import Url

DIALLED_MAX = 16  # addresses of one name
NEXT_ADDRESS_SECONDS = 1.0  # after this long without an answer the next address is tried
PREFERRED_MAX = 1024
HIDDEN = "the address of this name may not be called"
REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EMFILE: "too many open files",
}


class Dialled(NamedTuple):
    """A connected socket and what it took, in milliseconds."""

    socket: socket.socket
    dns_ms: float | None
    connect_ms: float


class Undialled(Exception):
    """No connection, and why, in the words of an Exchange."""

    def __init__(self, outcome: ExchangeOutcome, error: str) -> None:
        super().__init__(error)
        self.outcome: ExchangeOutcome = outcome
        self.error = error


class Dialler:
    """The rules, the directory, and which of a name's addresses answered last."""

    def __init__(self, rules: EgressRules, directory: Directory) -> None:
        self._rules = rules
        self._directory = directory
        self._preferred: OrderedDict[str, str] = OrderedDict()

    async def dial(self, url: Url, narrower: NamespaceEgress | None = None) -> Dialled:
        """Open a TCP connection to a judged address of the URL's host, or raise Undialled.

        `narrower` are the rules of a namespace; what either refuses is not dialled.
        """
        refusal = check_literal(url, self._rules)
        if refusal is None and narrower is not None:
            refusal = narrower.refuse_url(url)
        if refusal is not None:
            raise Undialled("blocked", refusal)
        began = perf_counter()
        addresses = [url.host] if url.literal else await self._judged_addresses(url, narrower)
        if url.port in self._rules.own_everywhere and any(map(_is_ours, addresses)):
            raise Undialled("blocked", OWN_DENIED if url.literal else HIDDEN)
        resolved = perf_counter()
        opened = await self._first_that_answers(url, addresses)
        connected = perf_counter()
        dns_ms = None if url.literal else (resolved - began) * 1000
        return Dialled(opened, dns_ms, (connected - resolved) * 1000)

    async def _judged_addresses(self, url: Url, narrower: NamespaceEgress | None) -> Sequence[str]:
        try:
            addresses = await self._directory.look_up(url.host)
        except OSError:
            raise Undialled("connect_error", "name not found") from None
        for address in addresses:
            refusal = self._rules.refuse_address(address, url.port, name=url.host)
            if refusal is None and narrower is not None:
                refusal = narrower.refuse_address(address, url.port, name=url.host)
            if refusal is not None:
                raise Undialled("blocked", HIDDEN)
        if not addresses:
            raise Undialled("connect_error", "name not found")
        return self._in_order(url.host, addresses)

    def _in_order(self, host: str, addresses: Sequence[str]) -> Sequence[str]:
        """Answer the families in turn, as the resolver ranked them, what answered last first."""
        first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
        second = [address for address in addresses if address not in first]
        mixed = [address for address in chain(*zip_longest(first, second)) if address]
        preferred = self._preferred.get(host)
        if preferred in mixed:
            mixed.remove(preferred)
            mixed.insert(0, preferred)
        return mixed[:DIALLED_MAX]

    async def _first_that_answers(self, url: Url, addresses: Sequence[str]) -> socket.socket:
        fault: OSError | None = None
        for number, address in enumerate(addresses, 1):
            patience = None if number == len(addresses) else NEXT_ADDRESS_SECONDS
            try:
                async with asyncio.timeout(patience):
                    opened = await _open(address, url.port)
            except OSError as latest:  # also TimeoutError, of `patience` alone
                fault = latest
                continue
            if len(addresses) > 1:
                self._prefer(url.host, address)
            return opened
        raise Undialled("connect_error", reason(fault)) from None

    def _prefer(self, host: str, address: str) -> None:
        self._preferred[host] = address
        self._preferred.move_to_end(host)
        if len(self._preferred) > PREFERRED_MAX:
            self._preferred.popitem(last=False)


def reason(fault: OSError | None) -> str:
    """Answer a short, stable name of what the network said."""
    if fault is None or fault.errno is None:
        return "connection failed"
    name = errno.errorcode.get(fault.errno, "unknown")
    return REASONS.get(fault.errno) or f"connection failed ({name})"


def _is_ours(address: str) -> bool:
    """Tell whether an address is one of this machine: to such a one it speaks from that very one.

    Nothing is sent: connecting a datagram socket only asks for the route.
    """
    reached = str(classify(address).address)
    family = socket.AF_INET6 if ":" in reached else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((reached, 9))
        except OSError:
            return False
        return bool(probe.getsockname()[0] == reached)


async def _open(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)  # noqa: FBT003 - its only parameter
        await asyncio.get_running_loop().sock_connect(opened, (address, port))
    except BaseException:
        opened.close()
        raise
    return opened
