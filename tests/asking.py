"""The command line in the tests' own process: what it printed, and with which code it ended."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple


class Told(NamedTuple):
    """What came of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Coroutine[Any, Any, Told]]
