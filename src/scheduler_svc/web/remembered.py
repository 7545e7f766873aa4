"""What the pages of one process remember between requests, each kind for a bounded number of
namespaces: nothing that a caller could not ask for anew.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct

NAMESPACES_MAX = 200
T = TypeVar("T")


class Ahead(Struct, frozen=True, kw_only=True):
    """The fires of coming minutes, as they were foreseen at an instant."""

    at_ms: int
    minutes: Mapping[int, int]


class JobCount(Struct, frozen=True, kw_only=True):
    """How many jobs were in each state, at an instant."""

    at_ms: int
    states: Mapping[str, int]


class ByNamespace(Generic[T]):
    """One value for each of the namespaces that were looked at last."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, namespace: str) -> T | None:
        """Return what is remembered."""
        return self._values.get(namespace)

    def put(self, namespace: str, value: T) -> None:
        """Remember a value; the namespace that was put longest ago is forgotten."""
        self._values[namespace] = value
        self._values.move_to_end(namespace)
        if len(self._values) > NAMESPACES_MAX:
            self._values.popitem(last=False)


class Remembered:
    """All of it. `turn` is held by whoever foresees: it costs, so one does it at a time."""

    def __init__(self) -> None:
        self.fires: ByNamespace[dict[int, int]] = ByNamespace()
        self.ahead: ByNamespace[Ahead] = ByNamespace()
        self.jobs: ByNamespace[JobCount] = ByNamespace()
        self.turn = asyncio.Lock()
