"""The way to the service: where it is, with which key, and one request at a time.

What switches do not say comes from the environment (SCHEDULER_URL, SCHEDULER_KEY,
SCHEDULER_NAMESPACE, and for TLS SCHEDULER_CA_FILE, SCHEDULER_CLIENT_CERT, SCHEDULER_CLIENT_KEY),
else from a file (`~/.config/scheduler-svc.toml`, or where SCHEDULER_CONFIG says). Promises a
sentence for every way in which a request can fail, and never to wait for ever.
"""

import json
import os
import ssl
import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from scheduler_svc.cli.remote.trust import Files, context_of

SECONDS = 60.0
HERE = "http://127.0.0.1:8080"
FILE = "~/.config/scheduler-svc.toml"
NAMES = ("url", "key", "namespace", *Files._fields)
VARIABLES = {name: f"SCHEDULER_{name.upper()}" for name in NAMES}
SWITCHED = ("url", "namespace", *Files._fields)
"""What a switch may say: all but the key, which other users of the machine could read there."""
Source = Mapping[str, str | None]
CONFIG = "SCHEDULER_CONFIG"
BAD = 400


class Unreachable(Exception):
    """The service does not answer, or not as it should; the text says where and why."""


class Refused(Exception):
    """The service says no: its problem document, and the status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail", f"status {status}"))
        self.status = status
        self.problem = problem


class Misused(Exception):
    """What was typed, or is in the file, can not be meant."""


class Answer(NamedTuple):
    """What came back: the decoded body, None without any, and the headers in small letters."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Remote(NamedTuple):
    """Where the service is, and who asks."""

    url: str
    key: str | None
    namespace: str | None
    tls: ssl.SSLContext | None = None
    """Of an https address."""

    def get(self, path: str, **query: object) -> Any:
        """Ask for something; parameters that are None or empty are left out."""
        return self.ask("GET", path, query=query).body

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] = {},
        headers: Mapping[str, str] = {},
    ) -> Answer:
        """Send one request; raise Refused for a problem, Unreachable where there is no answer."""
        sent = None if body is None else json.dumps(body).encode()
        kind = {} if sent is None else {"Content-Type": "application/json"}
        with self._exchange(method, path, sent, query, {**kind, **headers}) as response:
            raw = response.read()
            found = _decoded(raw, response)
            if response.status >= BAD:
                raise Refused(response.status, found if isinstance(found, dict) else {})
            names = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, found, names)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], **query: object
    ) -> Iterator[HTTPResponse]:
        """Read an answer line by line as it comes; silence of a minute is its end."""
        with self._exchange("GET", path, None, query, headers) as response:
            if response.status >= BAD:
                found = _decoded(response.read(), response)
                raise Refused(response.status, found if isinstance(found, dict) else {})
            yield response

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, object],
        headers: Mapping[str, str],
    ) -> Iterator[HTTPResponse]:
        parts = urlsplit(self.url)
        given = {"User-Agent": f"scheduler-svc-cli/{version('scheduler-svc')}", **headers}
        if self.key is not None:
            given["Authorization"] = f"Bearer {self.key}"
        if self.namespace is not None:
            given["Scheduler-Namespace"] = self.namespace
        asked = [(name, each) for name, value in query.items() for each in _each(value)]
        target = parts.path.rstrip("/") + path + (f"?{urlencode(asked)}" if asked else "")
        connection = self._opened(parts.netloc)
        try:
            connection.request(method, target, body, given)
            yield connection.getresponse()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"no answer from {self.url}: {_why(error)}") from None
        finally:
            connection.close()

    def _opened(self, place: str) -> HTTPConnection:
        if self.tls is not None:
            return HTTPSConnection(place, timeout=SECONDS, context=self.tls)
        return HTTPConnection(place, timeout=SECONDS)


def _why(error: Exception) -> str:
    """Say what went wrong, and of TLS what may mend it."""
    why = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{why}; --ca-file names the authority of a private certificate"
    # Some say what they miss by an alert, others hang up in the middle of the handshake.
    if isinstance(error, ssl.SSLError) and {"ALERT", "EOF"} & {*(error.reason or "").split("_")}:
        return f"{why}; where it asks for a certificate, --client-cert names one to come with"
    return why


def _each(value: object) -> list[object]:
    """Return the values of one parameter; what was not given has none."""
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return value
    return [str(value).lower() if isinstance(value, bool) else value]


def _decoded(raw: bytes, response: HTTPResponse) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        if response.status >= BAD:
            return {"detail": f"status {response.status}, not in this service's words"}
        raise Unreachable(
            f"what answered is no scheduler-svc: {response.getheader('content-type')}"
        ) from None


def add_place(parser: ArgumentParser) -> None:
    """Add the switches that say where the service is."""
    place = parser.add_argument_group("where the service is")
    place.add_argument("--url", help=f"its address (SCHEDULER_URL, else {HERE})")
    place.add_argument("--namespace", help="whose jobs, for a key of all (SCHEDULER_NAMESPACE)")
    for switch, what in (
        ("--ca-file", "authorities trusted besides the system's"),
        ("--client-cert", "the certificate to come with, where one is asked for"),
        ("--client-key", "its key, where that is in a file of its own"),
    ):
        variable = VARIABLES[switch.removeprefix("--").replace("-", "_")]
        place.add_argument(switch, metavar="FILE", help=f"{what} ({variable})")
    place.add_argument(
        "--json", action="store_true", help="print what the service answers, for programs"
    )


def remote_of(given: Namespace, environ: Mapping[str, str] = os.environ) -> Remote:
    """Find out where the service is; raise Misused where nobody can tell."""
    typed = {name: getattr(given, name) for name in SWITCHED}
    named = {name: environ.get(variable) or None for name, variable in VARIABLES.items()}
    sources: tuple[Source, ...] = (typed, named, _kept(environ))
    url = _first("url", sources) or HERE
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise Misused(f"{url!r} is no address like https://scheduler.example.com")
    tls = None
    if parts.scheme == "https":
        tls = _context(sources)
    elif switches := [name for name in Files._fields if typed[name]]:
        raise Misused(f"--{switches[0].replace('_', '-')} is for https, and {url} is not")
    return Remote(url.rstrip("/"), _first("key", sources), _first("namespace", sources), tls)


def _first(name: str, sources: Iterable[Source]) -> str | None:
    return next((found for source in sources if (found := source.get(name))), None)


def _context(sources: Iterable[Source]) -> ssl.SSLContext:
    """Make the context; a certificate and its key are of one source, for they are a pair."""
    pairs = ((source.get("client_cert"), source.get("client_key")) for source in sources)
    pair = next((pair for pair in pairs if any(pair)), (None, None))
    try:
        return context_of(Files(_first("ca_file", sources), *pair))
    except ValueError as error:
        raise Misused(str(error)) from None


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the file; one that is not there says nothing."""
    path = Path(environ.get(CONFIG) or FILE).expanduser()
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        if CONFIG in environ:
            raise Misused(f"{path}: there is no such file ({CONFIG})") from None
        return {}
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misused(f"{path}: {error}") from None
    unknown = sorted(set(found) - set(VARIABLES))
    wrong = [name for name, value in found.items() if not isinstance(value, str)]
    if unknown or wrong:
        names = ", ".join(VARIABLES)
        raise Misused(f"{path}: {', '.join(unknown or wrong)}: only {names}, each a string")
    return found
