"""The tables of docs/api.md, made from the routes and the problems.

Promises every operation and every code; a test compares the page with them.
"""

from scheduler_svc.api.problems import STATUSES, TITLES
from scheduler_svc.api.routes import ROUTES


def operations() -> str:
    """Render the operations as a markdown table."""
    lines = ["| method and path | does | answers |", "| --- | --- | --- |"]
    for route in ROUTES:
        if not route.hidden:
            answers = ", ".join(str(status) for status in sorted({*route.answers, *route.refusals}))
            summary = route.summary.removesuffix(".")
            lines.append(f"| `{route.method} {route.path}` | {summary} | {answers} |")
    return "\n".join(lines)


def codes() -> str:
    """Render the codes of problems as a markdown table."""
    lines = ["| status | code | title |", "| --- | --- | --- |"]
    for code, status in sorted(STATUSES.items(), key=lambda pair: pair[1]):
        lines.append(f"| {status} | `{code}` | {TITLES[code]} |")
    return "\n".join(lines)
