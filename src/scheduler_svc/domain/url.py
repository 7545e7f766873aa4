"""The one parser of target addresses: text in, parts out, and every part in one canonical spelling.

What parsers disagree about (userinfo, odd IPv4 spellings, backslashes, control characters) is
refused instead of interpreted, so what was judged is what is dialled. It looks nothing up and
knows no policy: which addresses may be called is the business of `egress`.
"""

import re
import unicodedata
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

import idna
import msgspec

URL_LENGTH_MAX = 2083
NAME_LENGTH_MAX = 253

DEFAULT_PORTS = {"http": 80, "https": 443}
# Cc controls, Cf invisible format marks, Cs lone surrogates, Z* every kind of space.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# WHATWG, "ends in a number": such a host is read as an IPv4 address by somebody.
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Nearly all addresses: visible ASCII without a backslash.
PLAIN = re.compile(rf"[!-\[\]-~]{{0,{URL_LENGTH_MAX}}}")
BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Full stops other than ".", which UTS 46 would turn into one.
FOREIGN_DOTS = re.compile("[\u3002\uff0e\uff61]")
END_OF_AUTHORITY = re.compile("[/?]")
AS_IT_IS = re.compile(r"[/?:@!$&'()*+,;=._~\[\]%0-9A-Za-z-]*")
# RFC 3986 pchar, "/" and "?"; square brackets stay as they are, as browsers leave them.
TARGET_SAFE = "/?:@!$&'()*+,;=-._~[]%"


class UrlRefused(ValueError):
    """The text is no address we are willing to call; `reason` says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Url(msgspec.Struct, frozen=True):
    """An absolute address in parts: `host` without brackets, `target` ASCII from the slash on."""

    scheme: str
    host: str
    port: int
    target: str
    literal: bool  # the host is an IP address
    authority: str  # as the Host header says it: the port only where it is not the scheme's own

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


@lru_cache(maxsize=8192)
def parse_url(text: str) -> Url:
    """Take an address apart, or raise UrlRefused with the first reason found."""
    _check_characters(text)
    scheme, rest = _split_scheme(text)
    authority, target = _split_target(rest)
    host_text, port_text = _split_authority(authority)
    host, literal = _host(host_text)
    port = DEFAULT_PORTS[scheme] if port_text is None else _port(port_text)
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    url = Url(scheme, host, port, _target(target), literal, authority)
    if len(str(url)) > URL_LENGTH_MAX:
        raise UrlRefused(f"longer than {URL_LENGTH_MAX} characters once percent-encoded")
    return url


def join_url(base: Url, location: str) -> Url:
    """Resolve a Location header against the address that answered it (RFC 9110, 10.2.2)."""
    _check_characters(location)
    location = location.partition("#")[0]
    if WITH_SCHEME.match(location):
        # As it stands: urljoin would read `http:///x` and `http:x` as paths of the base.
        return parse_url(location)
    try:
        joined = urljoin(str(base), location)
    except ValueError:
        raise UrlRefused("not an address") from None
    return parse_url(joined)


def _check_characters(text: str) -> None:
    if PLAIN.fullmatch(text):
        return
    if len(text) > URL_LENGTH_MAX:
        raise UrlRefused(f"longer than {URL_LENGTH_MAX} characters")
    if any(unicodedata.category(character) in UNSEEN for character in text):
        raise UrlRefused("holds a space, a control or an invisible character; percent-encode it")
    if "\\" in text:
        raise UrlRefused("holds a backslash; write / or %5C")


def _split_scheme(text: str) -> tuple[str, str]:
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() not in DEFAULT_PORTS:
        raise UrlRefused("must begin with http:// or https://")
    if not rest.startswith("//"):
        raise UrlRefused("needs two slashes after the scheme")
    return scheme.lower(), rest[2:]


def _split_target(rest: str) -> tuple[str, str]:
    """Part the authority from the rest; an @ before the path is userinfo to some parser."""
    if "@" in rest.partition("/")[0]:
        raise UrlRefused("must not hold a user name or password; put credentials in a header")
    if "#" in rest:
        raise UrlRefused("must not hold a fragment (#...): it is never sent")
    found = END_OF_AUTHORITY.search(rest)
    end = len(rest) if found is None else found.start()
    return rest[:end], rest[end:]


def _split_authority(authority: str) -> tuple[str, str | None]:
    if not authority:
        raise UrlRefused("has no host")
    if "%" in authority:
        raise UrlRefused("must not hold % in the host (no percent-encoding, no zone id)")
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UrlRefused("has an unfinished [address]")
        return host + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _port(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text, re.ASCII) or int(text) > 65535:  # noqa: PLR2004
        raise UrlRefused("has a port that is not a number from 1 to 65535")
    return int(text)


@lru_cache(maxsize=4096)
def _host(text: str) -> tuple[str, bool]:
    """Answer the canonical host and whether it is an IP address."""
    if text.startswith("["):
        return _ipv6(text[1:-1]), True
    name = text.lower() if text.isascii() else _ascii_name(text)
    stem = name.removesuffix(".")
    if NUMERIC.fullmatch(stem.rpartition(".")[2]):
        # Only the plain spelling counts: what a full-width digit or a dot at the end becomes
        # depends on who reads it.
        return _ipv4(text), True
    _check_name(stem)
    return stem, False


def _ipv6(text: str) -> str:
    try:
        return IPv6Address(text).compressed
    except AddressValueError:
        raise UrlRefused("has no valid IPv6 address in its brackets") from None


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise UrlRefused(
            "has a host that ends in a number; an IPv4 address is four decimal numbers with dots"
        ) from None


def _ascii_name(text: str) -> str:
    """The name as it goes on the wire: UTS 46, non-transitional, then Punycode."""
    if FOREIGN_DOTS.search(text):
        raise UrlRefused("has a host with a full stop that is not '.'")
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise UrlRefused("has a host that is no valid internationalised name") from None


def _check_name(name: str) -> None:
    if not 0 < len(name) <= NAME_LENGTH_MAX:
        raise UrlRefused(f"has a host name that is empty or longer than {NAME_LENGTH_MAX}")
    for label in name.split("."):
        if not LABEL.fullmatch(label):
            raise UrlRefused("has a host that is no valid name")
        if label.startswith("xn--"):
            _check_punycode(label)


def _check_punycode(label: str) -> None:
    try:
        idna.ulabel(label)
    except (idna.IDNAError, UnicodeError):
        raise UrlRefused("has a host with broken Punycode") from None


def _target(text: str) -> str:
    if BAD_PERCENT.search(text):
        raise UrlRefused("has a % that two hexadecimal digits do not follow; write %25")
    path = text if text.startswith("/") else f"/{text}"
    if AS_IT_IS.fullmatch(path):
        return path
    return quote(path, safe=TARGET_SAFE)
