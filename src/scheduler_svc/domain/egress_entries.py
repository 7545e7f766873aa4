"""The one grammar of egress lists, of the operator and of namespaces alike: text to an `Entry`.

    10.0.0.0/8   10.0.0.1   fd00::/8          every port of these addresses
    10.0.0.0/8:8443   [fd00::/8]:8443         one port of them
    example.com   *.example.com               every port of a name; of all names below it
    example.com:8443   *.example.com:8443     one port of them
    :8443                                     one port, wherever

It judges nothing: what an entry does is the business of the list that it stands in.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import msgspec

from scheduler_svc.domain.url import UrlRefused, parse_url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORT_MAX = 65535
ENTRY_LENGTH_MAX = 300
MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")


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

    def lies_within(self, network: Network) -> bool:
        """Tell whether this entry names a part of that network and nothing beside it."""
        match self.network, network:
            case (IPv4Network() as own, IPv4Network() as other):
                return own.subnet_of(other)
            case (IPv6Network() as own, IPv6Network() as other):
                return own.subnet_of(other)
            case _:
                return False


def unwrap(address: Address) -> Address:
    """IPv4 out of mapped and NAT64 addresses; the other embeddings are denied as they are."""
    if isinstance(address, IPv6Address) and (address in MAPPED or address in NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@lru_cache(maxsize=4096)
def parse_entry(text: str) -> Entry:
    """Read one entry; ValueError says what is wrong with it and how to write it."""
    if not text:
        raise ValueError("an empty entry")
    if len(text) > ENTRY_LENGTH_MAX:
        raise ValueError(f"an entry of {len(text)} characters; at most {ENTRY_LENGTH_MAX}")
    head, port = _split_port(text)
    if not head:
        return Entry(port=port)
    network = _network(head, text)
    if network is not None:
        return Entry(network=network, port=port)
    return Entry(host=_host(head, text), port=port)


def entry_faults(texts: Iterable[str]) -> list[tuple[int, str]]:
    """Name every entry of a list that can not be read, by its place."""
    faults = []
    for place, text in enumerate(texts):
        try:
            parse_entry(text)
        except ValueError as fault:
            faults.append((place, str(fault)))
    return faults


def _split_port(text: str) -> tuple[str, int | None]:
    head, colon, port = text.rpartition(":")
    ipv6_alone = text.count(":") > 1 and "]" not in text
    if not colon or ipv6_alone or text.endswith("]"):
        return text, None
    if port.isascii() and port.isdecimal() and 0 < int(port) <= PORT_MAX:
        return head, int(port)
    raise ValueError(f"{text!r} has a port that is not a number from 1 to {PORT_MAX}")


def _network(head: str, text: str) -> Network | None:
    """Read a network, and one of IPv4 carried in IPv6 as what it is; None where it is a host."""
    bare = head
    if head.startswith("[") and head.endswith("]"):
        bare = head[1:-1]
    try:
        network = ip_network(bare, strict=True)
    except ValueError as fault:
        if "/" in head or ":" in head:
            hint = "; with a port write [network]:port" if ":" in head and "]" not in head else ""
            raise ValueError(f"{text!r} is no network: {fault}{hint}") from None
        return None
    if isinstance(network, IPv6Network):
        for carrier in (MAPPED, NAT64):
            if network.subnet_of(carrier):
                first = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
                return IPv4Network((first, network.prefixlen - carrier.prefixlen))
    return network


def _host(head: str, text: str) -> str:
    stem = head.removeprefix("*.")
    try:
        url = parse_url(f"http://{stem}/")
    except UrlRefused as refused:
        raise ValueError(f"{text!r} is neither a network nor a host: it {refused.reason}") from None
    if url.target != "/" or url.literal:
        raise ValueError(f"{text!r} is neither a network nor a host")
    return f"*.{url.host}" if head.startswith("*.") else url.host
