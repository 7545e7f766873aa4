"""Where the service is, with which key and for which namespace: as the command line finds it.

What is not given comes from SCHEDULER_URL, SCHEDULER_KEY and SCHEDULER_NAMESPACE, else from a file
(`~/.config/scheduler-svc.toml`, or what SCHEDULER_CONFIG names), else it is the development
profile on this machine. So do, for TLS, SCHEDULER_CA_FILE, SCHEDULER_CLIENT_CERT and
SCHEDULER_CLIENT_KEY, the paths of files in PEM.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

HERE = "http://127.0.0.1:8080"
FILE = "~/.config/scheduler-svc.toml"
CONFIG = "SCHEDULER_CONFIG"
PAIR = ("client_cert", "client_key")
NAMES = ("url", "key", "namespace", "ca_file", *PAIR)


@dataclass(frozen=True, slots=True)
class Place:
    """An address without a slash at its end, and who asks; the key is never shown.

    `ca_file` is trusted besides the usual authorities; the key of a certificate may be in its file.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    namespace: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


def find_place(
    url: str | None = None,
    key: str | None = None,
    namespace: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Place:
    """Find out where the service is; raise ValueError where what is said can not be meant."""
    kept = _kept(environ)
    named = {name: environ.get(f"SCHEDULER_{name.upper()}") or None for name in NAMES}
    said = {name: named[name] or kept.get(name) for name in NAMES}
    # A certificate and its key are a pair, and so of one source.
    pair = [named[name] for name in PAIR]
    cert, its_key = pair if any(pair) else [kept.get(name) for name in PAIR]
    address = url or said["url"] or HERE
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise ValueError(f"{address!r} is no address like https://scheduler.example.com")
    return Place(
        address.rstrip("/"),
        key or said["key"],
        namespace or said["namespace"],
        said["ca_file"],
        cert,
        its_key,
    )


def _kept(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Read the file; the usual one need not be there, one that is named has to be."""
    path = Path(environ.get(CONFIG) or FILE).expanduser()
    try:
        found = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        if CONFIG in environ:
            raise ValueError(f"{path}: there is no such file ({CONFIG})") from None
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    wrong = [name for name, value in found.items() if not isinstance(value, str)]
    if wrong or set(found) - set(NAMES):
        raise ValueError(f"{path}: only {', '.join(NAMES)}, each a string")
    return found
