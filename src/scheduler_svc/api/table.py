"""Which endpoint a request is for, found by the shape of its path.

Promises the endpoint that trying one pattern after the other would find, without trying them: paths
without parameters by the whole path, others by their first and last word and how many there are.
What is not found here may still be a page, or nothing: Starlette's router says.
"""

from collections.abc import Iterable

from scheduler_svc.api.endpoint import Endpoint

Found = tuple[Endpoint, dict[str, str]]
_Pattern = tuple[tuple[str | None, ...], tuple[str, ...], Endpoint]


class Table:
    """Endpoints by path. A parameter is one whole word of its path, and never empty."""

    def __init__(self, endpoints: Iterable[tuple[str, Endpoint]]) -> None:
        self._whole: dict[str, Endpoint] = {}
        self._patterns: dict[tuple[int, str], list[_Pattern]] = {}
        for path, endpoint in endpoints:
            words = path.split("/")
            named = tuple(word[1:-1] for word in words if word.startswith("{"))
            if not named:
                self._whole[path] = endpoint
                continue
            fixed = tuple(None if word.startswith("{") else word for word in words)
            key = len(words), words[1]
            self._patterns.setdefault(key, []).append((fixed, named, endpoint))

    def find(self, method: str, path: str) -> Found | None:
        """Return the endpoint that has the method at this path, and the parameters in the path."""
        whole = self._whole.get(path)
        if whole is not None and method in whole.methods:
            return whole, {}
        words = path.split("/")
        if len(words) < 2:  # noqa: PLR2004 - a path begins with a slash
            return None
        for fixed, named, endpoint in self._patterns.get((len(words), words[1]), ()):
            given = [
                word
                for word, wanted in zip(words, fixed, strict=True)
                if wanted is None or word != wanted
            ]
            if len(given) == len(named) and all(given) and method in endpoint.methods:
                return endpoint, dict(zip(named, given, strict=True))
        return None
