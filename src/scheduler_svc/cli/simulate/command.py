"""`simulate`: run the decisions of the engine over a stretch of time, and hold them to limits."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from rich.progress import Progress

from scheduler_svc.cli.files.fault import BadFile
from scheduler_svc.cli.remote import show
from scheduler_svc.cli.remote.ask import single
from scheduler_svc.cli.remote.connection import Misused, Remote
from scheduler_svc.cli.simulate import jobs, report
from scheduler_svc.cli.simulate.jobs import Known, LeftOut
from scheduler_svc.cli.simulate.limits import add_limits, judged
from scheduler_svc.cli.simulate.report import PerMinute, Report
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.simulate import SimulatedJob, Span, simulate
from scheduler_svc.domain.simulated_load import ClockChange, Load, clock_changes

EXCEEDED = 5
SENT_MAX = 5_000_000
DAYS = 1
DURATION = "1s"
STEP = 5000


def instant(text: str) -> datetime:
    """Read an instant with an offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no instant like 2026-10-25T00:00:00Z") from None
    if found.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} needs an offset, such as Z or +02:00")
    return found.astimezone(UTC)


def outage(text: str) -> Span:
    """Read a span of two instants."""
    begin, slash, end = text.partition("/")
    if not slash:
        raise ArgumentTypeError(f"{text!r} is no span like FROM/TO")
    span = epoch_ms(instant(begin)), epoch_ms(instant(end))
    if span[0] >= span[1]:
        raise ArgumentTypeError(f"{text!r} ends before it begins")
    return span


def duration(text: str) -> tuple[str | None, int]:
    """Read a duration, of all jobs or of one: `30s`, `report=5m`."""
    name, equals, length = text.rpartition("=")
    try:
        return (name if equals else None), max(1, milliseconds(length))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="since", type=instant, metavar="INSTANT", help="from now on")
    parser.add_argument("--to", type=instant, metavar="INSTANT", help="until a day later")
    parser.add_argument(
        "--file",
        "-f",
        action="append",
        default=[],
        help="the jobs of a file of jobs; without one those of a running service",
    )
    parser.add_argument("--label", action="append", default=[], metavar="KEY:VALUE")
    parser.add_argument("--name-prefix", metavar="TEXT")
    parser.add_argument(
        "--duration",
        type=duration,
        action="append",
        default=[],
        metavar="[JOB=]DURATION",
        help=f"how long runs take ({DURATION}, or as the service has seen)",
    )
    parser.add_argument(
        "--history",
        type=int,
        default=1000,
        metavar="N",
        help="look at the newest so many runs for how long they take (%(default)s)",
    )
    parser.add_argument(
        "--outage",
        type=outage,
        action="append",
        default=[],
        metavar="FROM/TO",
        help="the service is away then; repeatable",
    )
    add_limits(parser)


def _simulate(remote: Remote, given: Namespace) -> int | None:
    now = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    begin = given.since or now
    end = given.to or begin + timedelta(days=DAYS)
    if begin >= end:
        raise Misused("--from must lie before --to")
    from_ms, to_ms = epoch_ms(begin), epoch_ms(end)
    try:
        known, left_out, seen = _jobs(remote, given, from_ms, to_ms)
    except BadFile as bad:
        raise Misused(str(bad)) from None
    load = Load(
        [one.name for one in known], [one.host for one in known], from_ms=from_ms, to_ms=to_ms
    )
    simulated = [
        SimulatedJob(one.plan, _lasts(one, given.duration, seen), one.since_ms) for one in known
    ]
    _run(load, simulated, given, (from_ms, to_ms))
    found = _report(load, known, left_out, (from_ms, to_ms))
    limits = list(judged(given, found))
    if given.json:
        told = msgspec.to_builtins(found) | {"limits": msgspec.to_builtins(limits)}
        told = {"from": told.pop("from_"), **told}
        print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        report.shown(found)
    for limit in limits:
        if limit.exceeded:
            text = f"--{limit.limit} allows {limit.allowed:,}; {limit.found:,} were found"
            print(f"scheduler-svc: {text}", file=sys.stderr)
    return EXCEEDED if any(limit.exceeded for limit in limits) else None


def _jobs(
    remote: Remote, given: Namespace, from_ms: int, to_ms: int
) -> tuple[list[Known], LeftOut, dict[UUID, int]]:
    """Return the jobs, how many are left out, and how long theirs runs took."""
    if given.file:
        if given.label or given.name_prefix:
            raise Misused("--label and --name-prefix choose among the jobs of a service")
        return jobs.of_files(given.file, from_ms=from_ms), LeftOut(), {}
    query = {"label": given.label, "name_prefix": given.name_prefix, "sort": "name"}
    known, left_out = jobs.of_service(remote, to_ms=to_ms, **query)
    return known, left_out, jobs.durations_seen(remote, given.history)


def _lasts(one: Known, said: list[tuple[str | None, int]], seen: dict[UUID, int]) -> int:
    """Return how long a run takes: as said of the job, as seen, as said of all."""
    named = {name: length for name, length in said if name is not None}
    if one.name in named:
        return named[one.name]
    usual = [length for name, length in said if name is None]
    return seen.get(one.plan.id) or (usual[-1] if usual else milliseconds(DURATION))


def _run(load: Load, simulated: list[SimulatedJob], given: Namespace, span: Span) -> None:
    """Let the time pass; raise Misused where more is sent than anybody wants to wait for."""
    from_ms, to_ms = span
    with _progress(to_ms - from_ms, shown=sys.stderr.isatty()) as move:
        happening = simulate(simulated, from_ms=from_ms, to_ms=to_ms, outages=given.outage)
        for count, one in enumerate(happening):
            load.add(one)
            if count % STEP == 0:
                move(one.at_ms - from_ms)
                if load.sent > SENT_MAX:
                    at = instant_at(one.at_ms).isoformat()
                    raise Misused(f"more than {SENT_MAX:,} runs by {at}; simulate a shorter time")


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], object]]:
    if not shown:
        yield lambda _done: None
        return
    with Progress(transient=True, console=show.console()) as progress:
        task = progress.add_task("simulating", total=total)
        yield lambda done: progress.update(task, completed=done)


def _report(load: Load, known: list[Known], left_out: LeftOut, span: Span) -> Report:
    from_ms, to_ms = span
    changes = [
        ClockChange(job=one.name, code=found.code, at=found.at, detail=found.detail)
        for one in known
        for found in clock_changes(one.plan.timetable, from_ms=from_ms, to_ms=to_ms)
    ]
    return Report(
        from_=instant_at(from_ms),
        to=instant_at(to_ms),
        jobs=len(known),
        left_out=left_out._asdict(),
        sent=load.sent,
        per_minute=PerMinute(peak=load.peak, p99=load.p99, mean=load.mean),
        in_flight=load.in_flight,
        hosts=load.hosts(),
        overlaps=load.overlaps(),
        misfires=load.misfires(),
        dst=sorted(changes, key=lambda one: (one.at, one.job)),
    )


COMMAND = single(
    "simulate", "say what jobs will do in a stretch of time, sending nothing", _switches, _simulate
)
