"""The header fields of a request, decoded once and found by name.

Promises what Starlette's own promise, for less: those read the whole list at each question.
"""

from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

FIELDS = "scheduler.fields"
"""Where they lie in the scope of a request."""


class Fields(Headers):
    """Header fields by name, without regard to case; a name may come several times."""

    def __init__(self, scope: Scope) -> None:
        self._list = scope["headers"]
        found: dict[str, list[str]] = {}
        for name, value in self._list:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            if key in found:
                found[key].append(text)
            else:
                found[key] = [text]
        self._found = found

    def getlist(self, key: str) -> list[str]:
        return self._found.get(key.lower(), [])

    def get(self, key: str, default: Any = None) -> Any:
        found = self._found.get(key.lower())
        return default if found is None else found[0]

    def __getitem__(self, key: str) -> str:
        return self._found[key.lower()][0]

    def __contains__(self, key: Any) -> bool:
        return key.lower() in self._found
