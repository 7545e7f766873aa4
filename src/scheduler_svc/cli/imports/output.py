"""Writing the file of jobs: YAML that every reader of YAML reads alike, with what to decide beside.

Promises that a text is read back as that text, by readers of YAML 1.1 (`on`, `1:30` and
`2026-01-01` are no texts there unless quoted) and of 1.2; and that no comment leaves its line.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import yaml

from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.finding import Finding

VERSION: Final = 1
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*")
_WORDS: Final = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
)
_WIDTH: Final = 2**20


class _Dumper(yaml.SafeDumper):
    """Writes what is certain plainly, and every other text in double quotes."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - what the library asks
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as above
        return super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    certain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if certain else '"')


_Dumper.add_representer(str, _text)


def written(dialect: str, paths: Sequence[str], drafts: Sequence[Draft]) -> str:
    """Return the file: each job with its source and what differs, then what was left out."""
    jobs = [draft for draft in drafts if draft.written]
    shared = common(drafts)
    lines = _comments(f"Made by scheduler-svc import {dialect} of {', '.join(paths)}.")
    if shared:
        lines += ["# Of all jobs:", *_said(shared), ""]
    lines.append(f"version: {VERSION}")
    lines.append("jobs:" if jobs else "jobs: []")
    for draft in jobs:
        lines += ["", *(f"  {line}" for line in _about(draft, shared))]
        lines += [f"  {line}" for line in _dumped([draft.ordered()]).splitlines()]
    for draft in drafts:
        if not draft.written:
            lines += ["", *_comments(f"Left out: {draft.source}"), *_said(draft.findings)]
    return "\n".join(lines) + "\n"


def _dumped(value: Any) -> str:
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, indent=2
    )


def _about(draft: Draft, shared: Sequence[Finding]) -> list[str]:
    own = [one for one in draft.findings if one not in shared]
    return [*_comments(draft.source), *_said(own)]


def common(drafts: Sequence[Draft]) -> list[Finding]:
    """Return the findings that all written jobs have, of two or more: they are told once."""
    jobs = [draft for draft in drafts if draft.written]
    if len(jobs) < 2:  # noqa: PLR2004 - of one, nothing is shared
        return []
    first, *others = jobs
    return [one for one in first.findings if all(one in other.findings for other in others)]


def _said(findings: Sequence[Finding]) -> list[str]:
    """Write all but what is the same: decisions first."""
    told = [one for one in findings if one.severity != "same"]
    told.sort(key=lambda one: one.severity == "differs")
    listed = (f"{one.severity}: {one.detail}{_next(one.at)}" for one in told)
    return [line for text in listed for line in _comments(text)]


def _next(at: Any) -> str:
    return "" if at is None else f" (next: {at:%Y-%m-%dT%H:%M:%SZ})"


def _comments(text: str) -> list[str]:
    """Write a comment of one line, whatever the text holds."""
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return [f"# {plain}"]
