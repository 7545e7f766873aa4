"""What a simulation found: as a value for programs, as tables for people."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from scheduler_svc.cli.remote import show
from scheduler_svc.domain.simulated_load import (
    ClockChange,
    HostLoad,
    Misfires,
    Overlaps,
    Peak,
)

SHOWN_MAX = 20


class PerMinute(Struct, frozen=True, kw_only=True):
    """Runs sent a minute."""

    peak: Peak
    p99: int
    mean: float


class Report(Struct, frozen=True, kw_only=True):
    """All that was found."""

    from_: datetime
    to: datetime
    jobs: int
    left_out: dict[str, int]
    sent: int
    per_minute: PerMinute
    in_flight: Peak
    hosts: list[HostLoad]
    overlaps: list[Overlaps]
    misfires: list[Misfires]
    dst: list[ClockChange]


def shown(report: Report) -> None:
    """Print it for people."""
    left_out = ", ".join(f"{count} {why}" for why, count in report.left_out.items() if count)
    per_minute = report.per_minute
    show.fields(
        [
            ("from", _utc(report.from_)),
            ("to", _utc(report.to)),
            ("jobs", f"{report.jobs:,}" + (f" (left out: {left_out})" if left_out else "")),
            ("sent", f"{report.sent:,}"),
            ("most a minute", _peak(per_minute.peak)),
            ("p99 a minute", f"{per_minute.p99:,}"),
            ("mean a minute", f"{per_minute.mean:g}"),
            ("most at once", _peak(report.in_flight)),
            ("overlaps", f"{sum(one.count for one in report.overlaps):,}"),
            ("misfires", f"{sum(one.count for one in report.misfires):,}"),
        ]
    )
    hosts = ((one.host, one.sent, _peak(one.peak)) for one in report.hosts[:SHOWN_MAX])
    _table(("host", "sent", "most a minute"), hosts, len(report.hosts))
    columns = ("overlaps of", "skipped", "queued", "cancelled", "beside")
    rows: Iterable[tuple[object, ...]] = (
        (one.job, one.skipped, one.queued, one.cancelled, one.beside)
        for one in report.overlaps[:SHOWN_MAX]
    )
    _table(columns, rows, len(report.overlaps))
    columns = ("misfires of", "caught up", "merged", "skipped", "too late")
    rows = (
        (one.job, one.caught_up, one.merged, one.misfire, one.too_late)
        for one in report.misfires[:SHOWN_MAX]
    )
    _table(columns, rows, len(report.misfires))
    rows = ((one.job, _utc(one.at), one.detail) for one in report.dst[:SHOWN_MAX])
    _table(("clocks change for", "at", "and so"), rows, len(report.dst))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]], count: int) -> None:
    if not count:
        return
    show.console().print("")
    show.table(columns, rows)
    if count > SHOWN_MAX:
        show.console().print(f"... and {count - SHOWN_MAX:,} more; --json has them all")


def _peak(peak: Peak) -> str:
    return f"{peak.count:,}" + ("" if peak.at is None else f" at {_utc(peak.at)}")


def _utc(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
