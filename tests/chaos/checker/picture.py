"""A picture of one job for a person who wants to see what went wrong: SVG, one file, no script.

Bands are faults, grey bars the windows in which first calls belong, coloured bars the calls by
attempt, crosses what was skipped. One line a run, oldest first.
"""

from collections.abc import Callable
from html import escape

from chaos.checker.evidence import Fault, Looked, Run
from chaos.checker.expected import expected
from chaos.checker.ledger import stamp

WIDTH, LEFT, LINE, TOP = 1200.0, 210.0, 16.0, 40.0
RUNS_MAX = 200
SPACE = "http://www.w3.org/2000/svg"
COLOURS = ("#2a7ab0", "#d07020", "#a02060", "#606060")


def picture(looked: Looked, job_id: str, *, window_ms: float = 1000.0) -> str:
    """Draw what was due and what came, of one job."""
    job = next(one for one in looked.all.jobs if one.id == job_id)
    due = expected(looked.all, job, margin_ms=looked.all.margin_ms).demanded
    runs = {run.scheduled_ms: run for run in looked.of_job.get(job_id, ())}
    instants = sorted({*map(float, due), *runs})[:RUNS_MAX]
    calls = [r for run in runs.values() for r in looked.of_run.get(run.id, ())]
    ends = [r.ended_ms for r in calls] + [at + window_ms for at in instants]
    begin = min([job.created_ms, *instants])
    scale = (WIDTH - LEFT - 10) / max(1.0, max([begin + 1000, *ends]) - begin)

    def x(ms: float) -> float:
        return LEFT + max(0.0, min(ms - begin, (WIDTH - LEFT - 10) / scale)) * scale

    height = TOP + LINE * (len(instants) + 1)
    title = escape(f"{job.name or job.id}: {dict(job.schedule)}")
    size = f'width="{WIDTH:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="{SPACE}" {size} font-family="monospace" font-size="11">',
        f'<text x="4" y="14">{title}</text>',
        *(_band(one, x(one.from_ms), x(one.until_ms), height) for one in looked.all.faults),
    ]
    for number, at in enumerate(instants):
        y = TOP + LINE * number
        parts.append(_box(x(at), x(at + window_ms), y, "#d8d8d8", f"due {stamp(at)}"))
        parts += _row(looked, runs.get(at), at, y, x)
    return "\n".join([*parts, "</svg>"])


def _row(
    looked: Looked, run: Run | None, at: float, y: float, x: Callable[[float], float]
) -> list[str]:
    said = "NOTHING" if run is None else run.status + (f" ({run.reason})" if run.reason else "")
    drawn = [f'<text x="4" y="{y + 10:.0f}">{stamp(at)} {escape(said)}</text>']
    if run is None:
        return drawn
    if run.status == "skipped":
        drawn.append(f'<text x="{x(at):.1f}" y="{y + 10:.0f}">&#215;{run.occurrences}</text>')
    for one in looked.of_run.get(run.id, ()):
        colour = COLOURS[min(one.attempt, len(COLOURS)) - 1]
        title = f"attempt {one.attempt}, answered {one.status}, {one.at_ms - at:.0f} ms late"
        drawn.append(_box(x(one.at_ms), x(one.ended_ms), y + 3, colour, title))
    return drawn


def _box(begin: float, end: float, y: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{begin:.1f}" y="{y:.1f}" width="{max(1.5, end - begin):.1f}" height="9"'
        f' fill="{colour}"><title>{escape(title)}</title></rect>'
    )


def _band(fault: Fault, begin: float, end: float, height: float) -> str:
    whose = ", ".join(sorted(one[:8] for one in fault.replicas)) or "all"
    title = escape(f"{fault.kind} of {whose}")
    return (
        f'<rect x="{begin:.1f}" y="{TOP - 14:.0f}" width="{max(1.0, end - begin):.1f}"'
        f' height="{height:.0f}" fill="#f4c0c0" fill-opacity="0.6"><title>{title}</title></rect>'
        f'<text x="{begin:.1f}" y="{TOP - 4:.0f}" fill="#a00000">{title}</text>'
    )
