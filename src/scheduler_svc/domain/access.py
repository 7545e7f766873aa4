"""Who is calling, and what they may do: scopes, namespaces, and the addresses a key is good from.

Pure: it judges values, and knows neither keys nor requests.
"""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from msgspec import Struct

Scope = Literal["jobs:read", "jobs:write", "runs:read", "runs:write", "events:read", "admin"]
Network = IPv4Network | IPv6Network
SCOPES: Final[tuple[Scope, ...]] = (
    "jobs:read",
    "jobs:write",
    "runs:read",
    "runs:write",
    "events:read",
    "admin",
)
EVERY: Final = "*"
"""In place of a namespace: all of them."""
NAMESPACE_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$"


class Caller(Struct, frozen=True, kw_only=True):
    """Whoever made a request: `id` is unlike that of any other credential, empty without one."""

    id: str = ""
    name: str | None = None
    namespace: str = EVERY
    scopes: frozenset[Scope] = frozenset({"admin"})

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has a scope; `admin` has them all."""
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, namespace: str) -> bool:
        """Tell whether the caller may act in a namespace."""
        return self.namespace in {EVERY, namespace}


ANYONE: Final = Caller()
"""The caller where no credentials are asked for: the development profile, on loopback."""


@lru_cache(maxsize=8192)
def is_from(address: str | None, networks: tuple[str, ...]) -> bool:
    """Tell whether an address lies in one of the networks; none named means any address."""
    listed = [ip_network(network) for network in networks]
    if not listed:
        return True
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in listed)


def network_fault(text: str) -> str | None:
    """Say what is wrong with a network written as CIDR; None where nothing is."""
    try:
        ip_network(text)
    except ValueError as fault:
        return f"is no network like 10.0.0.0/8: {fault}"
    return None
