"""Requests that a page of somebody else made a browser send: refused where they would change
anything.

A browser sends our cookie along, and in development nothing else is asked for; a key in a header it
never adds by itself. So whatever comes without one must not come from another origin, and with a
cookie it must bring the session's CSRF token too. Programs that are no browsers say neither
`Origin` nor `Sec-Fetch-Site`, and are left alone.
"""

from starlette.datastructures import Headers
from starlette.types import Scope

from scheduler_svc.api.cookie import CSRF_HEADER, is_csrf
from scheduler_svc.domain.errors import Forbidden

SAFE = frozenset({"GET", "HEAD"})
FOREIGN = "A page of another origin asked for this; send a key, or use our own pages."


def check(
    scope: Scope, headers: Headers, session: str | None, origins: tuple[str, ...] = ()
) -> None:
    """Raise Forbidden for a change that another page asked for; `origins` are those allowed to."""
    if scope["method"] in SAFE or "authorization" in headers:
        return
    if session is not None:
        check_session(scope["scheme"], headers, session)
    elif is_foreign(scope["scheme"], headers, origins):
        raise Forbidden(FOREIGN)


def check_session(scheme: str, headers: Headers, session: str, in_form: str | None = None) -> None:
    """Raise Forbidden for a change under a cookie that our own pages did not ask for."""
    if is_foreign(scheme, headers):  # pages of listed origins send keys
        raise Forbidden(FOREIGN)
    if not is_csrf(session, in_form or headers.get(CSRF_HEADER, "")):
        raise Forbidden(f"Send the session's csrf_token (GET /ui/session) as {CSRF_HEADER}.")


def is_foreign(scheme: str, headers: Headers, origins: tuple[str, ...] = ()) -> bool:
    """Tell whether a browser says that a page of another origin asks."""
    origin = headers.get("origin")
    if origin is not None and origin in origins:
        return False
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    return origin is not None and origin != f"{scheme}://{headers.get('host', '')}".lower()
