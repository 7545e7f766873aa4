"""`audit verify`: walks the chain of the audit log and names the first entry that is not in order.

Changes nothing. Without keys it judges hashes alone, and says so.
"""

import asyncio
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

import msgspec

from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.domain.audit_chain import SealKey
from scheduler_svc.service.audit import seal_keys
from scheduler_svc.service.database import database
from scheduler_svc.service.key_ring import KeyFileRefused
from scheduler_svc.store import audit_verify, migrate
from scheduler_svc.store.audit_verify import Verdict
from scheduler_svc.store.embedded import EmbeddedRefused
from scheduler_svc.store.pool import close_pool, connection, is_database_away, open_pool

_PLACE = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


def _place(text: str) -> tuple[int, bytes]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no place like 42:HASH, as `audit.sealed` tells it")
    return int(found[1]), bytes.fromhex(found[2])


def _switches(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    verify = verbs.add_parser("verify", help="walk the chain; exit code 1 where it is broken")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.add_argument(
        "--expect",
        type=_place,
        metavar="SEQ:HASH",
        help="a place that was noted elsewhere, from the event `audit.sealed`",
    )
    verify.add_argument(
        "--without-old-keys",
        action="store_true",
        help="judge entries by their hashes alone where their key is not in the ring",
    )


def _run(given: Namespace) -> int:
    """Verify; exit code 1 where something is not in order, or the database is away."""
    settings = settings_with()
    try:
        keys = seal_keys(settings)
        with database(settings) as dsn:
            return asyncio.run(_verify(dsn, keys, given))
    except (EmbeddedRefused, KeyFileRefused) as refused:
        return _refuse(str(refused))
    except Exception as error:
        if not is_database_away(error):
            raise
        print(f"scheduler-svc: the database does not answer: {error}", file=sys.stderr)
        return FAILED


async def _verify(dsn: str, keys: tuple[SealKey, ...], given: Namespace) -> int:
    pool = await open_pool(dsn, application_name="scheduler-svc audit", size_max=1)
    try:
        async with connection(pool) as conn:
            fault = (await migrate.standing(conn)).fault
        if fault is not None:
            return _refuse(f"the database is {fault}")
        found = await audit_verify.verify(
            pool, keys, lenient=given.without_old_keys, expected=given.expect
        )
    finally:
        await close_pool(pool)
    print(_as_json(found, keys) if given.json else _as_text(found, keys))
    return OK if found.broken is None else FAILED


def _as_text(found: Verdict, keys: tuple[SealKey, ...]) -> str:
    if found.broken is not None:
        broken = found.broken
        return (
            f"{broken.fault} at {broken.seq}: {broken.detail}\n"
            f"{found.entries} entries before it are in order"
        )
    if found.last.seq == 0:
        return "the audit log is empty"
    lines = [
        f"{found.entries} entries are in order, {found.first.seq + 1} to {found.last.seq}",
        f"the end is {found.last.seq}:{found.last.hash.hex()}",
    ]
    if not keys:
        lines.append("hashes alone were judged: there is no SCHEDULER_SECRET_KEYS")
    elif found.unjudged:
        lines.append(f"{found.unjudged} codes were not judged: their key is not in the key ring")
    return "\n".join(lines)


def _as_json(found: Verdict, keys: tuple[SealKey, ...]) -> str:
    since = found.unsealed_since
    return msgspec.json.encode(
        {
            "ok": found.broken is None,
            "broken": found.broken,
            "entries": found.entries,
            "first_seq": found.first.seq + 1,
            "last_seq": found.last.seq,
            "last_hash": found.last.hash.hex(),
            "codes_judged": bool(keys) and not found.unjudged,
            "unsealed_since": since,
        }
    ).decode()


def _refuse(reason: str) -> int:
    print(f"scheduler-svc: {reason}", file=sys.stderr)
    return REFUSED


COMMAND = Command("audit", "verify the audit log", _switches, _run)
