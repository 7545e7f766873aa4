"""Who is asking, where proxies stand between: judged from what they say, one step at a time.

Promises that only the word of a listed proxy counts, read from the nearest to the farthest; what is
no address ends the reading, and the last proxy that could be named stands for the caller.
`Forwarded` (RFC 7239) is not read: a proxy that does not know it passes on what a caller made up.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from scheduler_svc.domain.access import is_from

STEPS_MAX = 32
SCHEMES = frozenset({"http", "https"})


def caller_behind(peer: str, said: Sequence[str], proxies: tuple[str, ...]) -> str:
    """Return the caller's address: of the values of X-Forwarded-For, the last that is no proxy's.

    Raises nothing; `proxies` are networks as CIDR, and empty means that nobody is believed.
    """
    if not proxies:
        return peer
    found = peer
    for entry in reversed(",".join(said).split(",")[-STEPS_MAX:]):
        if not is_from(found, proxies):
            return found
        if (address := _address(entry.strip())) is None:
            return found
        found = address
    return found


def scheme_behind(said: Sequence[str]) -> str | None:
    """Return what the nearest proxy says the caller spoke; None where it does not say."""
    last = said[-1].rpartition(",")[2].strip().lower() if said else ""
    return last if last in SCHEMES else None


def _address(entry: str) -> str | None:
    """Read one entry: an address, which may have a port beside it; IPv6 then is in brackets."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        address = ip_address(entry)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
