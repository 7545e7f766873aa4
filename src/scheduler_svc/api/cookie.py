"""The cookie of a session, and the token that goes with each change made under it.

Promises one name for each scheme, so that what came over plain HTTP, or from a neighbour of our
domain, is never taken for ours over TLS: browsers keep `__Host-` for us alone (RFC 6265bis, 4.1.3).
The CSRF token is a digest of the cookie's: a page that can not read our answers can not know it,
and nothing needs to be stored.
"""

import hmac
import re
from hashlib import sha256

from starlette.datastructures import Headers

SECURE, PLAIN = "__Host-scheduler_session", "scheduler_session"
CSRF_HEADER = "X-CSRF-Token"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def token_of(headers: Headers, scheme: str) -> str | None:
    """Return the token of a request's cookie; None without exactly one that could be ours."""
    found = [
        value
        for line in headers.getlist("cookie")
        for name, _, value in (part.strip(" ").partition("=") for part in line.split(";"))
        if name == name_for(scheme)
    ]
    return found[0] if len(found) == 1 and _TOKEN.fullmatch(found[0]) else None


def name_for(scheme: str) -> str:
    return SECURE if scheme == "https" else PLAIN


def setting(token: str, scheme: str, seconds: int) -> str:
    """Write Set-Cookie for a token; an empty one with 0 seconds takes the cookie away."""
    secure = "; Secure" if scheme == "https" else ""
    name = name_for(scheme)
    return f"{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def csrf_of(token: str) -> str:
    """Return what a change made under this session has to bring along."""
    return sha256(b"csrf\0" + token.encode()).hexdigest()


def is_csrf(token: str, given: str) -> bool:
    return hmac.compare_digest(csrf_of(token).encode(), given.encode())
