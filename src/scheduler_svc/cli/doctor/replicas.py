"""Who is there, whether it works, and whether all of them read clocks and zones alike."""

import time
from datetime import timedelta

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, lasted, warning
from scheduler_svc.domain.drift import versions
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.zones import tzdata_version
from scheduler_svc.store import doctor, expectations
from scheduler_svc.store.doctor import KnownReplica
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.replicas import database_now

CLOCK_MS = 1000
OVERDUE_MS = 60_000
DEAD = timedelta(minutes=5)


async def look(around: Surroundings, conn: Connection) -> list[Finding]:
    """Count the living, and compare what they say."""
    asked = time.time()
    now = await database_now(conn)
    here_ms = (asked + time.time()) * 500 - now.timestamp() * 1000
    known = await doctor.replicas(conn)
    alive = [one for one in known if one.lease_until >= now]
    claiming = [one for one in alive if one.role != "api"]
    found = [*_number(around, claiming), *_clocks(alive, here_ms), *_versions(alive)]
    gone = [one for one in known if one.lease_until < now - DEAD]
    if gone and claiming:
        found.append(
            warning(
                "replicas.gone",
                f"{len(gone)} replicas ended without a word, the last at {gone[-1].host}",
                "their runs were taken over late",
                "look at their last log lines: killed, out of memory, or cut off",
            )
        )
    count, oldest = await doctor.overdue(conn, before_ms=epoch_ms(now) - OVERDUE_MS)
    if count and claiming and oldest is not None:
        found.append(
            fault(
                "replicas.backlog",
                f"{count} timers are overdue, the oldest for"
                f" {lasted((now - oldest).total_seconds())}",
                "the replicas do not claim, or not enough",
                "look for tick.failed in their log and at scheduler_slots_used; then more replicas"
                " (docs/runbook.md#schedulerbackloggrows)",
            )
        )
    return found + await _drift(conn)


def _number(around: Surroundings, claiming: list[KnownReplica]) -> list[Finding]:
    if not claiming:
        return [
            fault(
                "replicas.none",
                "no replica that claims is alive",
                "nothing fires",
                "scheduler-svc serve (SCHEDULER_ROLE all or engine), or see why it ended",
            )
        ]
    wanted = around.settings.replicas_wanted
    if len(claiming) >= wanted:
        return []
    return [
        warning(
            "replicas.fewer",
            f"{len(claiming)} replicas claim, and SCHEDULER_REPLICAS_WANTED is {wanted}",
            "the loss of one more may leave nobody",
            "start the missing ones, or correct SCHEDULER_REPLICAS_WANTED",
        )
    ]


def _clocks(alive: list[KnownReplica], here_ms: float) -> list[Finding]:
    off = {one.host: one.clock_offset_ms for one in alive}
    off = {host: ms for host, ms in off.items() if abs(ms) > CLOCK_MS}
    if abs(here_ms) > CLOCK_MS:
        off["this host"] = here_ms
    return [
        warning(
            "replicas.clock",
            f"the clock of {host} is {ms / 1000:+.1f} s from the database's",
            "calls go by the database's clock; logs, certificates and tokens by this one",
            f"mend the time service on {host} and on the database's host: chronyc tracking,"
            " timedatectl status",
        )
        for host, ms in sorted(off.items())
    ]


def _versions(alive: list[KnownReplica]) -> list[Finding]:
    found = []
    builds = sorted({one.version for one in alive})
    if len(builds) > 1:
        found.append(
            warning(
                "replicas.versions",
                f"replicas of several versions are alive: {', '.join(builds)}",
                "what only the newer one knows does not hold yet",
                "end the deploy: update the rest",
            )
        )
    zones = sorted({one.tzdata for one in alive} | {tzdata_version()})
    if len(zones) > 1:
        found.append(
            warning(
                "replicas.tzdata",
                f"time zone data of several versions is in use: {', '.join(zones)}",
                "they may disagree about the next fire of a job in a zone whose rules changed",
                "install the same requirements everywhere: pip install -r requirements/run.txt",
            )
        )
    return found


async def _drift(conn: Connection) -> list[Finding]:
    others = await expectations.other_versions(conn, versions())
    if not others:
        return []
    return [
        warning(
            "replicas.drift",
            f"jobs were computed by other versions than this host has: {', '.join(others)}",
            f"this host has {versions()}; at its next start it computes them again, and some may"
            " move",
            "restart one replica of this version and read its job.moved events",
        )
    ]
