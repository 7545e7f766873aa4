"""Which addresses, names and ports may be called: pure rules over text and numbers.

An address is judged by what it finally reaches: IPv4 inside IPv6 is unwrapped first, and IPv6
outside the global range is denied by default. Nothing here resolves or dials; `delivery.egress`
does, and asks.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from scheduler_svc.domain.url import Url, UrlRefused, parse_url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORT_DENIED = "this port may not be called"
NAME_DENIED = "names without a dot and local names may not be called"
OWN_DENIED = "this service may not call itself"

PORTS_OPEN_BELOW_1024 = frozenset({80, 443})
PORTS_DENIED = frozenset(
    {1433, 1521, 2049, 2375, 2379, 3306, 5432, 5672, 6379, 9042, 9092, 9200, 11211, 27017}
)
LOCAL_SUFFIXES = (".local", ".internal", ".localhost")

# IANA IPv4 special-purpose registry; ipaddress.is_global lets several of these through.
DENIED_IPV4: Sequence[tuple[Network, str]] = [
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # Azure's host agent, on a public address
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
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
# Inside 2000::/3; everything outside of it is denied, bar NAT64, which is judged by its IPv4 part.
DENIED_IPV6: Sequence[tuple[Network, str]] = [
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
]
GLOBAL_IPV6 = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# No entry of a *name* in the allow list opens these: a name's owner could point it there.
NEVER_BY_NAME = frozenset({"link-local", "metadata", "unspecified", "multicast"})
METADATA_IPV6 = IPv6Address("fd00:ec2::254")


class Entry(msgspec.Struct, frozen=True):
    """One line of a list: a network or a host (`*.name` for all below), maybe with one port."""

    network: Network | None = None
    host: str | None = None
    port: int | None = None

    def fits_port(self, port: int) -> bool:
        return self.port is None or self.port == port

    def fits_host(self, host: str, port: int) -> bool:
        if self.host is None or not self.fits_port(port):
            return False
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host

    def fits_address(self, address: Address, port: int) -> bool:
        return (
            self.network is not None
            and self.fits_port(port)
            and address.version == self.network.version
            and address in self.network
        )

    def fits_any_host(self, port: int) -> bool:
        return self.network is None and self.host is None and self.port == port


class EgressRules(msgspec.Struct, frozen=True):
    """What an operator opened and closed beyond the defaults; deny beats allow, own beats both."""

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    own: tuple[Entry, ...] = ()

    @classmethod
    def parse(
        cls,
        *,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        own: Iterable[tuple[str, int]] = (),
    ) -> "EgressRules":
        """Read the lists as settings spell them; ValueError names the entry it can not read."""
        return cls(
            tuple(parse_entry(text) for text in allow),
            tuple(parse_entry(text) for text in deny),
            tuple(entry for host, port in own for entry in _own_entries(host, port)),
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
        address, kind = classify(text)
        if any(entry.fits_address(address, port) for entry in self.own):
            return OWN_DENIED
        if any(entry.fits_address(address, port) for entry in self.deny):
            return "this address is on the deny list"
        if any(entry.fits_address(address, port) for entry in self.allow):
            return None
        if kind is not None and (
            kind in NEVER_BY_NAME
            or name is None
            or not any(entry.fits_host(name, port) for entry in self.allow)
        ):
            return f"{kind} addresses may not be called"
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


@lru_cache(maxsize=4096)
def classify(text: str) -> tuple[Address, str | None]:
    """The address finally reached and the kind that denies it; None for a public one."""
    address = unwrap(ip_address(text))
    if isinstance(address, IPv4Address):
        return address, _kind(address, DENIED_IPV4)
    if address not in GLOBAL_IPV6:
        return address, _kind_outside(address)
    return address, _kind(address, DENIED_IPV6)


def unwrap(address: Address) -> Address:
    """IPv4 out of mapped and NAT64 addresses; the other embeddings are denied as they are."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@lru_cache(maxsize=1024)
def parse_entry(text: str) -> Entry:
    """Read `CIDR`, `address`, `host` or `*.host`, maybe with `:port`; or `:port` for any host."""
    head, colon, port_text = text.rpartition(":")
    ipv6_alone = text.count(":") > 1 and "]" not in text
    if not colon or ipv6_alone or text.endswith("]"):
        head, port = text, None
    elif port_text.isdecimal() and 0 < int(port_text) < 65536:  # noqa: PLR2004
        port = int(port_text)
    else:
        raise ValueError(f"{text!r} has a port that is not a number from 1 to 65535")
    if not text:
        raise ValueError("an empty entry")
    if not head:
        return Entry(port=port)
    try:
        return Entry(network=ip_network(head.strip("[]"), strict=True), port=port)
    except ValueError as fault:
        if "/" in head or ":" in head:
            raise ValueError(f"{text!r} is no network: {fault}") from None
    return Entry(host=_entry_host(head, text), port=port)


def _entry_host(head: str, text: str) -> str:
    stem = head.removeprefix("*.")
    try:
        host = parse_url(f"http://{stem}/").host
    except UrlRefused as refused:
        raise ValueError(f"{text!r} is neither a network nor a host: it {refused.reason}") from None
    return f"*.{host}" if head.startswith("*.") else host


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


def _listed(entries: Iterable[Entry], host: str, port: int) -> bool:
    return any(entry.fits_host(host, port) or entry.fits_any_host(port) for entry in entries)


def _kind(address: Address, table: Sequence[tuple[Network, str]]) -> str | None:
    return next((kind for network, kind in table if address in network), None)


def _kind_outside(address: IPv6Address) -> str:
    if address == METADATA_IPV6:
        return "metadata"
    if address.is_loopback:
        return "loopback"
    if address.is_unspecified:
        return "unspecified"
    if address.is_multicast:
        return "multicast"
    if address.is_link_local or address.is_site_local:
        return "link-local"
    return "private" if address in IPv6Network("fc00::/7") else "reserved"
