"""The settings of our own port: what its lists may hold, and what production does not start with.

Promises every reason at once. What only a look into the database can tell is said as well: whether
anybody has a key.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from scheduler_svc.domain.access import network_fault
from scheduler_svc.settings.fault import SettingFault, SettingsRefused
from scheduler_svc.settings.fields import Settings
from scheduler_svc.settings.names import variable

UVICORNS = "FORWARDED_ALLOW_IPS"


def left_over(environ: Mapping[str, str]) -> Iterator[SettingFault]:
    """Name what was read once and is not any more: who is believed must not change unnoticed."""
    if environ.get(UVICORNS, "").strip():
        detail = f"is not read any more; name the networks of your proxies in {PROXIES}"
        yield SettingFault(UVICORNS, detail)


def list_faults(settings: Settings) -> Iterator[SettingFault]:
    """Name every entry of the lists of proxies and origins that is none."""
    for entry in settings.trusted_proxies:
        if (fault := _proxy_fault(entry)) is not None:
            yield SettingFault(PROXIES, f"'{entry}' {fault}")
    for entry in settings.cors_origins:
        if (fault := _origin_fault(entry)) is not None:
            yield SettingFault(ORIGINS, f"'{entry}' {fault}")


def tls_faults(settings: Settings) -> Iterator[SettingFault]:
    """Find files that are of no use without another."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        lacks, has = ("tls_cert", "tls_key")[:: 1 if settings.tls_cert is None else -1]
        yield SettingFault(variable(lacks), f"must be set where {variable(has)} is")
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        yield SettingFault(variable("tls_client_ca"), f"needs {variable('tls_cert')} beside it")


def refuse_unsafe(settings: Settings) -> None:
    """Raise SettingsRefused with every reason why production must not serve with these."""
    if settings.profile != "production" or not (faults := list(_unsafe(settings))):
        return
    if settings.bootstrap_key is None and settings.jwt_algorithm is None:
        key, tokens = variable("bootstrap_key"), variable("jwt_algorithm")
        detail = f"nor {tokens} is set: unless the database holds an API key, it is refused too"
        faults.append(SettingFault(key, detail))
    raise SettingsRefused(faults)


def _unsafe(settings: Settings) -> Iterator[SettingFault]:
    plain = settings.tls_cert is None and not settings.trusted_proxies
    if plain and not is_loopback(settings.host):
        yield SettingFault(
            variable("host"),
            f"keys would travel in plain HTTP on {settings.host}: set {variable('tls_cert')} and"
            f" {variable('tls_key')}, or name in {PROXIES} the proxies that alone reach this port"
            " and speak TLS in front of it, or listen on 127.0.0.1",
        )
    if not settings.secret_keys:
        yield SettingFault(
            variable("secret_keys"),
            "must be set, for it seals the secrets of jobs: openssl rand -base64 32 makes a key",
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy_fault(entry: str) -> str | None:
    if entry == "*":
        return "believes everybody; name the networks of your proxies"
    if (fault := network_fault(entry)) is not None:
        return fault
    return None if ip_network(entry).prefixlen else "believes everybody; name a smaller network"


def _origin_fault(entry: str) -> str | None:
    """Say why an entry is no origin as browsers send it (RFC 6454, 6.2)."""
    if "*" in entry:
        return "is a wildcard; name each origin, for any page could use the API otherwise"
    try:
        parts = urlsplit(entry)
        origin = f"{parts.scheme}://{parts.netloc}"
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None
        _ = parts.port
    except ValueError:
        return "is no origin like https://app.example"
    if not good or origin != entry or entry != entry.lower():
        return "is no origin like https://app.example: in lower case, without a path"
    if entry.endswith({"http": ":80", "https": ":443"}[parts.scheme]):
        return "names the usual port, which browsers leave out; leave it out"
    return None


PROXIES, ORIGINS = variable("trusted_proxies"), variable("cors_origins")
