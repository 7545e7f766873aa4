"""Which addresses, names and ports may be called: pure rules over text and numbers.

An address is judged by what it finally reaches: IPv4 inside IPv6 is unwrapped first, and IPv6
outside the global range is denied by default. Nothing here resolves or dials; `delivery.egress`
does, and asks.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import NamedTuple

import msgspec

from scheduler_svc.domain.egress_entries import Address, Entry, Network, parse_entry, unwrap
from scheduler_svc.domain.url import Url

PORT_DENIED = "this port may not be called"
NAME_DENIED = "names without a dot and local names may not be called"
ADDRESS_DENIED = "this address is on the deny list"
OWN_DENIED = "this service may not call itself"

PORTS_OPEN_BELOW_1024 = frozenset({80, 443})
PORTS_DENIED = frozenset(
    {
        # Databases, brokers and control ports.
        *(1433, 1521, 2375, 2379, 3306, 5432, 5672, 6379, 9042, 9092, 9200, 11211, 27017),
        # What browsers refuse to call (WHATWG Fetch, "bad port"): IRC, SIP, X11, NFS and the like.
        *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667),
        *(6668, 6669, 6679, 6697, 10080),
    }
)
LOCAL_SUFFIXES = (".local", ".internal", ".localhost")

# IANA IPv4 special-purpose registry; ipaddress.is_global lets several of these through.
DENIED_IPV4: Sequence[tuple[Network, str]] = [
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.100.100.200/32", "metadata"),  # Alibaba
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # Azure's host agent, on a public address
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.192/32", "metadata"),  # Oracle
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
]
# Outside 2000::/3 everything is denied, bar NAT64, which is judged by its IPv4 part.
DENIED_IPV6: Sequence[tuple[Network, str]] = [
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("ff00::/8", "multicast"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "link-local"),
        ("fd00:ec2::254/128", "metadata"),  # Amazon
        ("fd20:ce::254/128", "metadata"),  # Google
        ("fc00::/7", "private"),
        ("::/3", "reserved"),
        ("4000::/2", "reserved"),
        ("8000::/1", "reserved"),
    )
]
# Opened by no name in the allow list, whose owner could point it there, and by no network that
# is wider than they are: only by an entry that means them.
ONLY_EXPLICITLY = frozenset({"link-local", "metadata", "unspecified", "multicast"})


class EgressRules(msgspec.Struct, frozen=True):
    """What an operator opened and closed beyond the defaults; deny beats allow, own beats both."""

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    own: tuple[Entry, ...] = ()
    own_everywhere: frozenset[int] = frozenset()
    """Ports that we listen on at every address of this machine, whatever these are."""

    @classmethod
    def parse(
        cls,
        *,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        own: Iterable[tuple[str, int]] = (),
    ) -> "EgressRules":
        """Read the lists as settings spell them; ValueError names the entry it can not read."""
        own = list(own)
        return cls(
            tuple(parse_entry(text) for text in allow),
            tuple(parse_entry(text) for text in deny),
            tuple(entry for host, port in own for entry in _own_entries(host, port)),
            frozenset(port for host, port in own if _is_everywhere(host)),
        )

    def refuse_name(self, host: str, port: int) -> str | None:
        """Why this name and port may not be called whatever they resolve to, or None."""
        if any(entry.fits_host(host, port) for entry in self.own):
            return OWN_DENIED
        if _listed(self.deny, host, port):
            return NAME_DENIED
        if any(entry.fits_host(host, port) for entry in self.allow):
            return None
        if "." not in host or host.endswith(LOCAL_SUFFIXES):
            return NAME_DENIED
        return self._refuse_port(port)

    def refuse_address(self, text: str, port: int, *, name: str | None = None) -> str | None:
        """Why this address may not be dialled, or None; `name` is what resolved to it."""
        judged = classify(text)
        if any(judged.fits(entry, port) for entry in self.own):
            return OWN_DENIED
        if any(judged.fits(entry, port) for entry in self.deny):
            return ADDRESS_DENIED
        if any(judged.is_opened_by(entry, port) for entry in self.allow):
            return None
        if judged.kind is not None and (
            judged.kind in ONLY_EXPLICITLY
            or name is None
            or not any(entry.fits_host(name, port) for entry in self.allow)
        ):
            return f"{judged.kind} addresses may not be called"
        return self._refuse_port(port) if name is None else None

    def _refuse_port(self, port: int) -> str | None:
        if any(entry.fits_any_host(port) for entry in self.allow):
            return None
        denied = port in PORTS_DENIED or (port < 1024 and port not in PORTS_OPEN_BELOW_1024)  # noqa: PLR2004
        return PORT_DENIED if denied else None


def check_literal(url: Url, rules: EgressRules) -> str | None:
    """Why this URL is refused without a look-up, or None; names are judged again when dialled."""
    if url.literal:
        if any(entry.fits_any_host(url.port) for entry in rules.deny):
            return PORT_DENIED
        return rules.refuse_address(url.host, url.port)
    return rules.refuse_name(url.host, url.port)


class Judged(NamedTuple):
    """An address as it was written, what it finally reaches, and what denies that by default."""

    written: Address
    address: Address
    kind: str | None
    """Of the range below; None for a public address."""
    denied: Network | None

    def fits(self, entry: Entry, port: int) -> bool:
        """Tell whether an entry names this address in either form."""
        return entry.fits_address(self.address, port) or entry.fits_address(self.written, port)

    def is_opened_by(self, entry: Entry, port: int) -> bool:
        """Tell whether an entry of an allow list opens what is denied by default."""
        if not entry.fits_address(self.address, port):
            return False
        if self.denied is None or self.kind not in ONLY_EXPLICITLY:
            return True
        return entry.lies_within(self.denied)


@lru_cache(maxsize=4096)
def classify(text: str) -> Judged:
    """Judge an address by the tables above."""
    written = ip_address(text)
    address = unwrap(written)
    table = DENIED_IPV4 if isinstance(address, IPv4Address) else DENIED_IPV6
    found = next(((network, kind) for network, kind in table if address in network), None)
    return Judged(written, address, found[1] if found else None, found[0] if found else None)


def _own_entries(host: str, port: int) -> Iterable[Entry]:
    """A wildcard listener answers on the whole loopback; others on their own address or name."""
    try:
        address = ip_address(host)
    except ValueError:
        yield Entry(host=host.lower(), port=port)
        return
    # Dialling the unspecified address reaches this machine, whatever it listens on.
    for unspecified in ("0.0.0.0/8", "::/128"):
        yield Entry(network=ip_network(unspecified), port=port)
    if address.is_unspecified:
        yield Entry(network=ip_network("127.0.0.0/8"), port=port)
        yield Entry(network=ip_network("::1/128"), port=port)
    else:
        yield Entry(network=ip_network(unwrap(address)), port=port)


def _is_everywhere(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _listed(entries: Iterable[Entry], host: str, port: int) -> bool:
    return any(entry.fits_host(host, port) or entry.fits_any_host(port) for entry in entries)
