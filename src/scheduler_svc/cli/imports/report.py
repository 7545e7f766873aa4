"""The report of an import: what became of each definition, and every difference in meaning.

Promises that a definition's worst finding is what it counts as, and that nothing in a definition
can steer the terminal.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TextIO

from rich.console import Console
from rich.text import Text

from scheduler_svc.cli.imports.output import common
from scheduler_svc.cli.remote.show import harmless
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.finding import SEVERITIES, Finding

_STYLES: Final = {
    "same": "dim",
    "differs": "yellow",
    "decision": "magenta",
    "not_importable": "red",
}
_WORDS: Final = {
    "same": "the same",
    "differs": "differs",
    "decision": "needs a decision",
    "not_importable": "not importable",
}
_WIDE: Final = 4000


def as_json(dialect: str, drafts: Sequence[Draft]) -> str:
    """Return the report for programs."""
    found = {
        "dialect": dialect,
        "summary": summary(drafts),
        "jobs": [_job(draft) for draft in drafts],
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def summary(drafts: Sequence[Draft]) -> dict[str, int]:
    """Count the definitions by their worst finding, and those that are in the file."""
    counts = Counter(draft.severity for draft in drafts)
    told: dict[str, int] = {severity: counts[severity] for severity in SEVERITIES}
    return {
        "definitions": len(drafts),
        "written": sum(draft.written for draft in drafts),
        **told,
    }


def print_text(drafts: Sequence[Draft], stream: TextIO, *, everything: bool) -> None:
    """Print the report for people; what is the same only if `everything` is asked for."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(file=stream, highlight=False, markup=False, emoji=False, width=_WIDE)
    shared = common(drafts)
    if shared:
        console.print(Text("all that are written", style="bold"))
        _print_findings(console, shared, everything=everything)
    for draft in drafts:
        _print_one(console, draft, shared, everything=everything)
    counts = summary(drafts)
    told = ", ".join(f"{counts[severity]} {_WORDS[severity]}" for severity in SEVERITIES)
    count = counts["definitions"]
    noun = "definition" if count == 1 else "definitions"
    console.print(Text(f"{count} {noun}, {counts['written']} written: {told}", "bold"))


def _print_one(
    console: Console, draft: Draft, shared: Sequence[Finding], *, everything: bool
) -> None:
    head = Text(harmless(draft.source), style="bold")
    head.append(f"  {draft.name or ''}" if draft.written else "  left out", style="cyan")
    console.print(head)
    own = [one for one in draft.findings if not draft.written or one not in shared]
    _print_findings(console, own, everything=everything)


def _print_findings(console: Console, found: Sequence[Finding], *, everything: bool) -> None:
    same = [one for one in found if one.severity == "same"]
    shown = found if everything else [one for one in found if one not in same]
    for one in shown:
        line = Text("  ")
        line.append(f"{_WORDS[one.severity]:<17}", style=_STYLES[one.severity])
        line.append(f"{one.code:<16}")
        line.append(harmless(one.detail))
        if one.at is not None:
            line.append(f" (next: {one.at:%Y-%m-%dT%H:%M:%SZ})", style="dim")
        console.print(line)
    if same and not everything:
        codes = ", ".join(dict.fromkeys(one.code for one in same))
        console.print(Text(f"  {_WORDS['same']:<17}{codes}", style="dim"))


def _job(draft: Draft) -> dict[str, Any]:
    return {
        "source": draft.source,
        "name": draft.name,
        "status": draft.severity,
        "written": draft.written,
        "schedule": draft.schedule or None,
        "findings": [_finding(one) for one in draft.findings],
    }


def _finding(one: Finding) -> dict[str, Any]:
    at = None if one.at is None else f"{one.at:%Y-%m-%dT%H:%M:%SZ}"
    return {"code": one.code, "severity": one.severity, "detail": one.detail, "next": at}
