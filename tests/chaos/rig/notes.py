"""The driver's history: what it broke, asked and saw, on the clock that all processes share.

Everything is written down as it happens and kept as JSON lines; nothing is judged or left out.
"""

import json
import time
from pathlib import Path
from typing import IO, Any


class Notes:
    """An append-only file of what happened; instants are monotonic milliseconds."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a")

    def write(self, kind: str, **fields: Any) -> None:
        """Note one thing."""
        self._file.write(json.dumps({"kind": kind, "at": now_ms()} | fields) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def now_ms() -> float:
    """Return the monotonic clock in milliseconds."""
    return time.monotonic() * 1000
