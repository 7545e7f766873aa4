"""`release`: says what becomes of what held namespaces missed, or shows what is held.

It writes the decision; the replicas that run do the rest. Without a decision it changes nothing.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace

from msgspec import json

from scheduler_svc.api.holds import release
from scheduler_svc.cli.audited import caller
from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.domain.audit import Action, Draft, Resource
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.holds import PER_MINUTE, Hold
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.service.database import database
from scheduler_svc.store import audit, holds
from scheduler_svc.store.embedded import EmbeddedRefused
from scheduler_svc.store.pool import (
    Connection,
    Pool,
    close_pool,
    connection,
    is_database_away,
    open_pool,
    transaction,
)
from scheduler_svc.store.replicas import database_now

SAY = "say what becomes of what was missed: --missed release, --missed once, or --missed skip"


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("namespaces", nargs="*", metavar="NAMESPACE", help="which; see --all")
    parser.add_argument("--all", action="store_true", help="every namespace that is held")
    parser.add_argument(
        "--missed",
        choices=["release", "once", "skip"],
        help="each job's misfire policy decides; one catch-up a job; or nothing is sent",
    )
    parser.add_argument(
        "--max-per-minute",
        type=int,
        default=PER_MINUTE,
        metavar="N",
        help=f"with --missed once: so many catch-ups a minute of a namespace ({PER_MINUTE})",
    )


def _run(given: Namespace) -> int:
    """Decide or list; exit code 1 where something is not held, or no database, 2 if misused."""
    if (given.namespaces or given.all) and given.missed is None:
        return _refuse(SAY)
    if given.max_per_minute < 1:
        return _refuse("--max-per-minute takes a whole number from 1")
    try:
        with database(settings_with()) as dsn:
            return asyncio.run(_work(dsn, given))
    except EmbeddedRefused as refused:
        return _refuse(str(refused))
    except Exception as error:
        if not is_database_away(error):
            raise
        print(f"scheduler-svc: the database does not answer: {error}", file=sys.stderr)
        return FAILED


async def _work(dsn: str, given: Namespace) -> int:
    pool = await open_pool(dsn, application_name=f"scheduler-svc release {os.getpid()}", size_max=1)
    try:
        async with connection(pool) as conn:
            held = await holds.all_holds(conn)
        if given.missed is None:
            return await _list(pool, held)
        names = sorted(held) if given.all else given.namespaces
        results = [await _release(pool, name, held, given) for name in names]
        return FAILED if False in results else OK
    finally:
        await close_pool(pool)


async def _list(pool: Pool, held: dict[str, Hold]) -> int:
    for name, hold in held.items():
        async with connection(pool) as conn:
            missed = await holds.missed_of(conn, name, now_ms=await _now_ms(conn))
        oldest = "" if missed.oldest is None else f", the oldest of {missed.oldest:%Y-%m-%d %H:%MZ}"
        state = "held" if hold.missed is None else f"being let go ({hold.missed})"
        print(
            f"{name}: {state} since {hold.since:%Y-%m-%d %H:%M:%SZ} ({hold.reason}):"
            f" {missed.overdue} jobs overdue{oldest}, {missed.runs} runs not ended"
        )
    if not held:
        print("nothing is held")
    return OK


async def _release(pool: Pool, name: str, held: dict[str, Hold], given: Namespace) -> bool:
    """Decide about one namespace and say so; False where there was nothing to decide."""
    if name not in held:
        print(f"{name}: is not held", file=sys.stderr)
        return False
    try:
        async with transaction(pool) as conn:
            decided = await release(
                conn,
                name,
                given.missed,
                per_minute=given.max_per_minute,
                now_ms=await _now_ms(conn),
            )
            if decided:
                await audit.insert(conn, _entry(name, given))
    except Conflict as conflict:
        print(f"{name}: {conflict.detail}", file=sys.stderr)
        return False
    print(f"{name}: {'' if decided else 'already '}{given.missed}")
    return True


def _entry(name: str, given: Namespace) -> Draft:
    after = {"missed": given.missed, "max_per_minute": given.max_per_minute}
    return Draft(
        namespace=name,
        actor=caller(),
        action=Action.NAMESPACE_RELEASED,
        resource=Resource(kind="namespace", id=name),
        after=json.encode(after).decode(),
    )


async def _now_ms(conn: Connection) -> int:
    return epoch_ms(await database_now(conn))


def _refuse(reason: str) -> int:
    print(f"scheduler-svc: {reason}", file=sys.stderr)
    return REFUSED


COMMAND = Command("release", "let held namespaces go, or show what is held", _switches, _run)
