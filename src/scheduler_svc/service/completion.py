"""What callbacks need of the settings: the address to report to, and the key ring of the tokens.

The production profile names its address itself; in development this replica's own will do.
"""

from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.service.key_ring import keys_of
from scheduler_svc.settings import Settings


def callbacks(settings: Settings, own: tuple[str, int]) -> Callbacks:
    """Return what callbacks need; they are refused where something of it is missing."""
    url = settings.public_url
    if url is None and settings.profile == "development":
        host = f"[{own[0]}]" if ":" in own[0] else own[0]
        scheme = "http" if settings.tls_cert is None else "https"
        url = f"{scheme}://{host}:{own[1]}"
    return Callbacks(url=url, keys=keys_of(settings))
