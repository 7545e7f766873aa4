"""What callbacks need of the settings: the address to report to, and the key ring of the tokens.

The production profile names its address itself; in development this replica's own will do.
"""

from base64 import b64decode
from binascii import Error

from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.settings import Settings

KEY_BYTES = 32


def callbacks(settings: Settings, own: tuple[str, int]) -> Callbacks:
    """Return what callbacks need; they are refused where something of it is missing."""
    url = settings.public_url
    if url is None and settings.profile == "development":
        host = f"[{own[0]}]" if ":" in own[0] else own[0]
        url = f"http://{host}:{own[1]}"
    return Callbacks(url=url, keys=key_ring(settings))


def key_ring(settings: Settings) -> tuple[bytes, ...]:
    """Decode the ring, newest first; what is no key of 32 bytes is left out."""
    found = []
    for text in settings.secret_keys:
        try:
            key = b64decode(text, validate=True)
        except (Error, ValueError):
            continue
        if len(key) == KEY_BYTES:
            found.append(key)
    return tuple(found)
