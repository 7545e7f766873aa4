"""`rotate-identity-key`: a new key signs identity tokens; those of the old one stay good."""

import asyncio
import os
import sys
from argparse import Namespace

from scheduler_svc.api import identity
from scheduler_svc.cli.audited import caller
from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command, no_switches
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.delivery.identity import PUBLISHED_SECONDS, NewKey, new_key
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.audit import Action, Draft, Resource
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.service.database import database
from scheduler_svc.service.key_ring import KeyFileRefused, key_ring
from scheduler_svc.store import audit, identity_keys, notices
from scheduler_svc.store.embedded import EmbeddedRefused
from scheduler_svc.store.pool import close_pool, is_database_away, open_pool, transaction
from scheduler_svc.store.replicas import database_now
from scheduler_svc.store.vault import KeyRing


def _run(_given: Namespace) -> int:
    """Make the key and say which it is; exit code 1 where the database is away."""
    settings = settings_with()
    try:
        ring = key_ring(settings)
        if ring is None:
            return _refuse("there is no key to keep it with: set SCHEDULER_SECRET_KEYS")
        with database(settings) as dsn:
            made = new_key()
            asyncio.run(_rotate(dsn, ring, made))
    except (EmbeddedRefused, KeyFileRefused) as refused:
        return _refuse(str(refused))
    except Exception as error:
        if not is_database_away(error):
            raise
        print(f"scheduler-svc: the database does not answer: {error}", file=sys.stderr)
        return FAILED
    print(f"tokens are signed with {made.id}; older keys stay published for an hour")
    return OK


async def _rotate(dsn: str, ring: KeyRing, made: NewKey) -> None:
    pool = await open_pool(dsn, application_name=f"scheduler-svc rotate {os.getpid()}", size_max=2)
    try:
        async with transaction(pool) as conn:
            now_ms = epoch_ms(await database_now(conn))
            since = instant_at(now_ms - PUBLISHED_SECONDS * 1000)
            await identity_keys.retire(conn, now=instant_at(now_ms), since=since)
            await identity.insert(conn, ring, made, now_ms=now_ms)
            await notices.secrets_changed(conn, "")
            await audit.insert(conn, _entry(made))
    finally:
        await close_pool(pool)


def _entry(made: NewKey) -> Draft:
    return Draft(
        namespace=EVERY,
        actor=caller(),
        action=Action.IDENTITY_KEY_ROTATED,
        resource=Resource(kind="identity_key", id=made.id),
    )


def _refuse(reason: str) -> int:
    print(f"scheduler-svc: {reason}", file=sys.stderr)
    return REFUSED


COMMAND = Command("rotate-identity-key", "sign identity tokens with a new key", no_switches, _run)
