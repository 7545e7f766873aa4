"""What was found, for people and for programs."""

from collections.abc import Iterator
from textwrap import wrap

import msgspec

from scheduler_svc.cli.doctor.checks import Report
from scheduler_svc.cli.doctor.finding import Finding

WIDTH = 100
INDENT = "         "


def as_json(report: Report) -> str:
    """Write one JSON object."""
    shown = {"status": report.status, **msgspec.to_builtins(report)}
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()


def as_text(report: Report) -> str:
    """Write faults first, each with why it matters and what to do; and what was looked at."""
    ordered = sorted(report.findings, key=lambda finding: finding.level != "fault")
    lines = [line for finding in ordered for line in _lines(finding)]
    if report.left_out:
        lines.append(f"not looked at: {', '.join(report.left_out)}")
    lines.append(f"looked at: {', '.join(report.looked_at)}")
    faults = sum(finding.level == "fault" for finding in report.findings)
    lines.append(f"{faults} faults, {len(report.findings) - faults} warnings")
    return "\n".join(lines)


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.level.upper():<8} {finding.check}: {finding.found}"
    yield from wrap(
        finding.why,
        WIDTH,
        initial_indent=f"{INDENT}why: ",
        subsequent_indent=INDENT,
    )
    yield f"{INDENT}do:  {finding.fix}"
    yield ""
