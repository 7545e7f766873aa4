"""The way out: trust, proxies, and the targets that somebody names.

A target is dialled as the sender does it, by the same rules; nothing is sent to it.
"""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.delivery.egress import Dialler, Undialled
from scheduler_svc.delivery.resolve import Directory, system_resolver
from scheduler_svc.delivery.tls import client_context, reason
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.url import Url, UrlRefused, parse_url

DIAL_SECONDS = 4.0
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
CURE = {
    "name not found": "look it up on this host: getent hosts {host}; mend DNS, or the name",
    "the address of this name may not be called": "if it is meant: SCHEDULER_EGRESS_ALLOW={host}",
}


async def look(around: Surroundings) -> list[Finding]:
    """Judge what calls go out with, and try the targets."""
    found = list(_proxies(around.environ))
    try:
        context = client_context(around.settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        found.append(
            fault(
                "egress.ca_file",
                f"{around.settings.ca_file} can not be used: {error}",
                "no call over TLS can be made",
                "point SCHEDULER_CA_FILE to a readable PEM file, or unset it",
            )
        )
        return found
    if not _has_roots(context):
        found.append(
            fault(
                "egress.tls_roots",
                "this host has no certificate authorities",
                "no target with TLS is trusted: every call ends as tls_error",
                "install them: apt-get install ca-certificates",
            )
        )
    for target in around.targets:
        found += await _target(around, target, context)
    return found


def _proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    names = [name for name in environ if name.upper() in PROXIES and environ[name]]
    if names:
        yield warning(
            "egress.proxy",
            f"{', '.join(sorted(names))} is set",
            "calls are dialled directly: the address that is judged is the one that is called",
            "open the way out for this host, or route it; then unset the variable here",
        )


def _has_roots(context: ssl.SSLContext) -> bool:
    """Tell whether any authority is trusted; those in a folder are only read when needed."""
    paths = ssl.get_default_verify_paths()
    return bool(context.cert_store_stats()["x509_ca"]) or paths.capath is not None


async def _target(around: Surroundings, target: str, context: ssl.SSLContext) -> list[Finding]:
    try:
        url = parse_url(target if "://" in target else f"https://{target}/")
    except UrlRefused as refused:
        return [
            fault("egress.target", f"{target}: {refused}", "it is no target", "write https://host")
        ]
    settings = around.settings
    rules = EgressRules.parse(allow=settings.egress_allow, deny=settings.egress_deny, own=[])
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            await _reach(Dialler(rules, Directory(system_resolver)), url, context)
    except Undialled as error:
        said = str(error)
    except ssl.SSLError as error:
        said = reason(error)
    except TimeoutError:
        said = f"no answer within {DIAL_SECONDS:.0f} s"
    except OSError as error:
        said = f"connection lost: {error}"
    else:
        return []
    cure = CURE.get(said, "try from this host: curl -v {url}").format(host=url.host, url=url)
    if said.startswith(("certificate", "TLS")):
        cure = (
            f"openssl s_client -connect {url.host}:{url.port} -servername {url.host} shows the"
            " chain; trust a private authority by SCHEDULER_CA_FILE"
        )
    return [fault("egress.target", f"{url}: {said}", "its jobs fail with the same words", cure)]


async def _reach(dialler: Dialler, url: Url, context: ssl.SSLContext) -> None:
    """Connect, and shake hands where it is TLS."""
    dialled = await dialler.dial(url)
    with closing(dialled.socket):
        if url.scheme == "https":
            _, writer = await asyncio.open_connection(
                sock=dialled.socket, ssl=context, server_hostname=url.host
            )
            writer.transport.abort()
