"""The tables of docs/schedules.md, made by the code that they describe.

Promises instants, sentences and refusals as the service gives them, from fixed dates; a test
compares the page with them.
"""

from typing import Final
from uuid import UUID

from scheduler_svc.domain.clock_changes import local
from scheduler_svc.domain.cron import compile_cron
from scheduler_svc.domain.cron_fields import NICKNAMES
from scheduler_svc.domain.cron_grammar import CronFault
from scheduler_svc.domain.describe import describe
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.occurrences import Timetable, compile_schedule, take
from scheduler_svc.domain.schedule import DstGap, DstOverlap, Schedule

NEW_YEAR_MS: Final = 1_767_225_599_999
"""Just before 2026-01-01T00:00:00Z, a Thursday."""
ZONE: Final = "Europe/Berlin"
SPRING_MS: Final = 1_774_738_799_999
AUTUMN_MS: Final = 1_792_879_199_999
"""Just before midnight in Berlin, at the start of 2026-03-29 and of 2026-10-25."""
JOB: Final = UUID("019b6a1c-8a00-7d1f-a3b4-5c6d7e8f9a0b")

EXPRESSIONS: Final = (
    "*/15 * * * *",
    "0 9 * * MON-FRI",
    "0 9,17 1 * *",
    "0 0 L * *",
    "0 9 15W * *",
    "0 9 LW * *",
    "0 9 * * FRI#L",
    "0 9 * * 5L",
    "0 9 * * MON#2",
    "0 9 13 * FRI",
    "0 9 13 * +FRI",
    "0 9 */2 * MON",
    "30 0 9 * * *",
    "0 0 9 1 * * 2026",
    "H 9 * * *",
    "H(0-29) H(1-5) * * *",
    "H/20 * * * *",
)
REFUSED: Final = (
    "60 * * * *",
    "0 9 30 2 *",
    "0 9 * * MON#6",
    "0 9 5-1 * *",
    "*/0 * * * *",
    "0 9 * *",
    "@reboot",
    "@every 5m",
    "CRON_TZ=UTC 0 9 * * *",
    "R 9 * * *",
)
NIGHTS: Final[tuple[tuple[str, DstGap, DstOverlap], ...]] = (
    ("30 2 * * *", "auto", "auto"),
    ("30 2 * * *", "skip", "both"),
    ("30 2 * * *", "run_after", "second"),
    ("0 * * * *", "auto", "auto"),
    ("0 1-3 * * *", "auto", "auto"),
    ("*/30 * * * *", "auto", "auto"),
    ("*/30 * * * *", "run_after", "first"),
)


def expressions() -> str:
    """Show what expressions say and when they next occur."""
    lines = ["| expression | in words | first two in 2026, UTC |", "| --- | --- | --- |"]
    for text in EXPRESSIONS:
        schedule = Schedule(cron=text)
        found = ", ".join(_shown(at) for at in _first(schedule, 2))
        lines.append(f"| `{text}` | {describe(schedule)} | {found} |")
    return "\n".join(lines)


def nicknames() -> str:
    """Show what the nicknames stand for."""
    lines = ["| nickname | stands for |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | `{text}` |" for name, text in NICKNAMES.items())])


def refusals() -> str:
    """Show what is refused, in the words of the answer."""
    lines = ["| expression | answer |", "| --- | --- |"]
    for text in REFUSED:
        try:
            compile_cron(text, JOB)
        except CronFault as fault:
            lines.append(f"| `{text}` | {fault} |")
    return "\n".join(lines)


def nights() -> str:
    """Show what runs in the two nights in which the clocks of Berlin change."""
    days = "29 March 2026, to 03:59 | 25 October 2026, to 02:59"
    lines = [
        f"| expression | `dst_gap` | `dst_overlap` | {days} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for text, gap, overlap in NIGHTS:
        schedule = Schedule(cron=text, timezone=ZONE, dst_gap=gap, dst_overlap=overlap)
        timetable = _compiled(schedule)
        spring = _night(timetable, SPRING_MS, 3)
        autumn = _night(timetable, AUTUMN_MS, 4)
        lines.append(f"| `{text}` | {gap} | {overlap} | {spring} | {autumn} |")
    return "\n".join(lines)


def _night(timetable: Timetable, after_ms: int, hours: int) -> str:
    """List the first hours of a day in local time, each with its offset."""
    end = after_ms + hours * 3_600_000
    shown = [local(timetable, at) for at in take(timetable, after_ms, 20) if at <= end]
    return ", ".join(f"{text[11:16]}{text[19:]}" for text in shown) or "nothing"


def _first(schedule: Schedule, count: int) -> list[int]:
    return take(_compiled(schedule), NEW_YEAR_MS, count)


def _compiled(schedule: Schedule) -> Timetable:
    return compile_schedule(schedule, job_id=JOB, created_at=instant_at(NEW_YEAR_MS))


def _shown(at: int) -> str:
    """Write an instant short, without seconds where there are none."""
    instant = instant_at(at)
    return f"{instant:%a %m-%d %H:%M:%S}" if instant.second else f"{instant:%a %m-%d %H:%M}"
