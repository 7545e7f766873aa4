"""`reseal`: seals every secret anew under the newest key, so that older keys can go."""

import asyncio
import os
import sys
from argparse import Namespace

from msgspec import json

from scheduler_svc.cli.audited import caller
from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command, no_switches
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.audit import Action, Draft, Resource
from scheduler_svc.service.database import database
from scheduler_svc.service.key_ring import KeyFileRefused, key_ring
from scheduler_svc.store import audit, reseal
from scheduler_svc.store.embedded import EmbeddedRefused
from scheduler_svc.store.pool import close_pool, is_database_away, open_pool, transaction
from scheduler_svc.store.reseal import Count
from scheduler_svc.store.vault import KeyRing

NO_KEYS = "there is no key to seal with: set SCHEDULER_SECRET_KEYS"


def _run(_given: Namespace) -> int:
    """Reseal and print counts; exit code 1 where something could not be opened, or no database."""
    settings = settings_with()
    try:
        ring = key_ring(settings)
        if ring is None:
            return _refuse(NO_KEYS)
        with database(settings) as dsn:
            return asyncio.run(_reseal(dsn, ring))
    except (EmbeddedRefused, KeyFileRefused) as refused:
        return _refuse(str(refused))
    except Exception as error:
        if not is_database_away(error):
            raise
        print(f"scheduler-svc: the database does not answer: {error}", file=sys.stderr)
        return FAILED


async def _reseal(dsn: str, ring: KeyRing) -> int:
    pool = await open_pool(dsn, application_name=f"scheduler-svc reseal {os.getpid()}", size_max=2)
    try:
        counts = await reseal.reseal(pool, ring)
        if any(count.sealed for count in counts):
            async with transaction(pool) as conn:
                await audit.insert(conn, _entry(counts, ring))
    finally:
        await close_pool(pool)
    for count in counts:
        print(f"{count.kind}: {count.sealed} sealed anew, {count.total} in all")
    stuck = sum(count.unopenable for count in counts)
    if stuck:
        print(f"{stuck} can not be opened: their key is not in SCHEDULER_SECRET_KEYS")
        return FAILED
    print(f"everything is sealed with the key {ring.newest}")
    return OK


def _entry(counts: list[Count], ring: KeyRing) -> Draft:
    """Write that values are sealed anew; after the batches, which are transactions of their own."""
    after = {count.kind: count.sealed for count in counts} | {"key": ring.newest}
    return Draft(
        namespace=EVERY,
        actor=caller(),
        action=Action.SECRETS_RESEALED,
        resource=Resource(kind="secret"),
        after=json.encode(after).decode(),
    )


def _refuse(reason: str) -> int:
    print(f"scheduler-svc: {reason}", file=sys.stderr)
    return REFUSED


COMMAND = Command("reseal", "seal all secrets anew with the newest key", no_switches, _run)
