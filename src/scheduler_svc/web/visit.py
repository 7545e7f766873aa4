"""One request for a page: who asks, what was asked of the API for it, and what is shown.

Promises that a page sees what its caller may see and no more. Raises NotShown for what the API
refused; the frame of pages (`web/page.py`) makes a page of that.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct
from starlette.requests import Request

from scheduler_svc.domain.access import EVERY, NAMESPACE_PATTERN, Caller, Scope
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.web.lent import Answered, Lent

DEFAULT_NAMESPACE = "default"
CHOICE = "scheduler_namespace"
"""The cookie in which the browser keeps which namespace is shown: it opens nothing by itself."""
_NAMESPACE = re.compile(NAMESPACE_PATTERN.removesuffix("$"))
OK = range(200, 300)
NOT_FOUND, FORBIDDEN = 404, 403
Query = Mapping[str, object]


class NotShown(Exception):
    """The API refused what a page needs; its status, and its problem where it told one."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class Session(Struct, frozen=True, kw_only=True):
    """Who looks at the page, as `GET /ui/session` tells."""

    name: str | None = None
    namespace: str = EVERY
    scopes: tuple[Scope, ...] = ()
    csrf_token: str | None = None
    expires_at: str | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has a scope."""
        return Caller(scopes=frozenset(self.scopes)).may(scope)


class Shown(Struct, frozen=True, kw_only=True):
    """A page as a value: a template and what it is filled with."""

    template: str
    title: str
    values: dict[str, Any] = {}
    status: int = 200


class Visit(Struct, frozen=True, kw_only=True):
    """One request for a page."""

    request: Request
    lent: Lent
    session: Session

    @property
    def chosen(self) -> str | None:
        """Return the namespace that a caller of all of them chose to see."""
        given = self.request.cookies.get(CHOICE, "")
        if self.session.namespace != EVERY or not _NAMESPACE.fullmatch(given):
            return None
        return given

    @property
    def namespace(self) -> str:
        """Return whose jobs are shown."""
        mine = self.session.namespace
        return self.chosen or (DEFAULT_NAMESPACE if mine == EVERY else mine)

    @property
    def now(self) -> str:
        """Return the instant at which the page is made, in UTC, by the database's clock."""
        return stamp_of(self.lent.now_ms())

    def part(self, name: str) -> str:
        """Return what stands in the path for `{name}`."""
        return str(self.request.path_params[name])

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the page's own query."""
        return self.request.query_params.get(name, default)

    async def answer(self, path: str, query: Query | None = None) -> Answered:
        """Ask the API, whatever it answers."""
        asked = query_of(query or {})
        return await self.lent.ask(self.request.scope, path, asked, self.chosen)

    async def get(self, path: str, query: Query | None = None) -> Any:
        """Ask the API for something that the page can not be without; raise NotShown."""
        answered = await self.answer(path, query)
        if answered.status not in OK:
            raise refused(answered)
        return answered.body

    async def get_if_allowed(self, path: str, query: Query | None = None) -> Any:
        """Ask the API for something that is left out where the caller may not see it: None."""
        answered = await self.answer(path, query)
        if answered.status in {FORBIDDEN, NOT_FOUND}:
            return None
        if answered.status not in OK:
            raise refused(answered)
        return answered.body


def refused(answered: Answered) -> NotShown:
    """Make the refusal of an answer that is none."""
    body = answered.body if isinstance(answered.body, dict) else {}
    faults = [str(one.get("detail", "")) for one in body.get("errors", ())]
    told = "; ".join(filter(None, [str(body.get("detail", "")), *faults]))
    return NotShown(answered.status, told, headers=answered.headers)


def query_of(given: Query) -> str:
    """Write a query: what is None or empty is left out, a list is given several times."""
    pairs: list[tuple[str, str]] = []
    for name, value in given.items():
        many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [(name, str(one)) for one in many if one is not None and one != ""]
    return urlencode(pairs)


def at(*parts: str) -> str:
    """Write a path of the API: `at("jobs", given, "runs")`; a part never is more than one."""
    if any(part in {"", ".", ".."} or "/" in part or "\0" in part for part in parts):
        raise NotShown(NOT_FOUND, "There is nothing at this path.")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def instant_of(stamp: str) -> datetime:
    """Read an instant that the API wrote."""
    return datetime.fromisoformat(stamp)


def stamp_of(ms: int) -> str:
    """Write an instant as the API does."""
    return instant_at(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
