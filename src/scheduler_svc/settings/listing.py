"""The table of settings that docs/operations.md shows, made from the struct.

Promises every field; a test compares the page with it.
"""

from scheduler_svc.settings.fields import DEVELOPMENT
from scheduler_svc.settings.names import DEFAULTS, bounds, meta_of, plain, variable


def table() -> str:
    """Render the settings as the markdown table of docs/operations.md."""
    lines = ["| variable | default | in development | meaning |", "| --- | --- | --- | --- |"]
    for field, default in DEFAULTS.items():
        name, meaning = variable(field), _meaning(field)
        development = _shown(field, DEVELOPMENT[field]) if field in DEVELOPMENT else ""
        lines.append(f"| `{name}` | {_shown(field, default)} | {development} | {meaning} |")
    return "\n".join(lines)


def _meaning(field: str) -> str:
    meaning = meta_of(field).description or ""
    if (limits := bounds(field)) is None:
        return meaning
    return f"{meaning} ({' to '.join(limits)})"


def _shown(field: str, value: object) -> str:
    return f"`{plain(field, value)}`" if value not in (None, ()) else ""
