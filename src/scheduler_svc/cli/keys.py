"""`keys`: makes, lists and revokes API keys, straight in the database: for the first one, and when
none is left that may.
"""

import asyncio
import os
import re
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from scheduler_svc.api.audit import key_draft
from scheduler_svc.api.keys_make import Asked, make_key
from scheduler_svc.cli.audited import caller
from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.domain import duration
from scheduler_svc.domain.access import EVERY, NAMESPACE_PATTERN, SCOPES, network_fault
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.service.database import database
from scheduler_svc.store import api_keys, audit, migrate, notices
from scheduler_svc.store.api_keys import ApiKey, KeyPlace
from scheduler_svc.store.away import is_database_away
from scheduler_svc.store.embedded import EmbeddedRefused
from scheduler_svc.store.pool import Pool, close_pool, connection, open_pool, transaction

PAGE = 200
NAME_MAX = 128


def _scopes(text: str) -> list[str]:
    given = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in given if part not in SCOPES]
    if wrong or not given:
        raise ArgumentTypeError(f"{text!r} is not a list of {', '.join(SCOPES)}")
    return given


def _namespace(text: str) -> str:
    if text != EVERY and not re.fullmatch(NAMESPACE_PATTERN.removesuffix("$"), text):
        raise ArgumentTypeError(f"{text!r} is no namespace, and not {EVERY!r} for all")
    return text


def _cidr(text: str) -> str:
    if (fault := network_fault(text)) is not None:
        raise ArgumentTypeError(f"{text!r} {fault}")
    return text


def _name(text: str) -> str:
    if not 0 < len(text) <= NAME_MAX or not text.isprintable():
        raise ArgumentTypeError(f"a name has 1 to {NAME_MAX} printable characters")
    return text


def _milliseconds(text: str) -> int:
    try:
        return duration.milliseconds(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _switches(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    create = verbs.add_parser("create", help="make a key and print it, this once")
    create.add_argument("--name", type=_name, required=True, help="whose key it is")
    create.add_argument(
        "--scopes", type=_scopes, required=True, help=f"separated by commas: {', '.join(SCOPES)}"
    )
    create.add_argument(
        "--namespace", type=_namespace, default="default", help="one, or * for all (%(default)s)"
    )
    create.add_argument("--expires", type=_milliseconds, help="after so long, such as 90d")
    create.add_argument(
        "--cidr",
        type=_cidr,
        action="append",
        default=[],
        help="only from this network (repeatable)",
    )
    verbs.add_parser("list", help="show the keys, without what opens")
    revoke = verbs.add_parser("revoke", help="let a key open nothing any more")
    revoke.add_argument("key", help="its id, or its beginning as `list` shows it")


def _run(given: Namespace) -> int:
    """Do what the verb says; exit code 1 where the database is away or there is no such key."""
    try:
        with database(settings_with()) as dsn:
            return asyncio.run(_on(dsn, given))
    except EmbeddedRefused as refused:
        print(f"scheduler-svc: {refused}", file=sys.stderr)
        return REFUSED
    except Exception as error:
        if not is_database_away(error):
            raise
        print(f"scheduler-svc: the database does not answer: {error}", file=sys.stderr)
        return FAILED


async def _on(dsn: str, given: Namespace) -> int:
    pool = await open_pool(dsn, application_name="scheduler-svc keys", size_max=1)
    try:
        async with connection(pool) as conn:
            fault = (await migrate.standing(conn)).fault
        if fault is not None:
            print(f"scheduler-svc: the database is {fault}", file=sys.stderr)
            return REFUSED
        match given.verb:
            case "create":
                return await _create(pool, given)
            case "list":
                return await _list(pool)
            case _:
                return await _revoke(pool, given.key)
    finally:
        await close_pool(pool)


async def _create(pool: Pool, given: Namespace) -> int:
    now_ms = time.time_ns() // 1_000_000
    asked = Asked(
        name=given.name,
        namespace=given.namespace,
        scopes=given.scopes,
        cidrs=given.cidr,
        created_by="the command line",
        expires_at=None if given.expires is None else instant_at(now_ms + given.expires),
    )
    async with transaction(pool) as conn:
        key, text = await make_key(conn, asked, now_ms=now_ms, random_bytes=os.urandom)
        await audit.insert(conn, key_draft(caller(), Action.API_KEY_CREATED, key, None))
    print(f"made {_line(key)}; it is shown this once:", file=sys.stderr)
    print(text)
    return OK


async def _list(pool: Pool) -> int:
    after: KeyPlace | None = None
    while True:
        async with connection(pool) as conn:
            page = await api_keys.list_keys(conn, EVERY, after=after, at_most=PAGE)
        for key in page:
            print(_line(key))
        if len(page) < PAGE:
            return OK
        last = page[-1]
        after = KeyPlace(int(last.created_at.timestamp() * 1000), last.id)


async def _revoke(pool: Pool, wanted: str) -> int:
    """Revoke the one key that is meant; refuse where the beginning is that of several."""
    async with connection(pool) as conn:
        known = await api_keys.list_keys(conn, EVERY, after=None, at_most=100_000)
    found = [key for key in known if wanted in {str(key.id), key.prefix}]
    if len(found) != 1:
        what = "there is no key" if not found else "there are several keys; name the id, not"
        print(f"scheduler-svc: {what} {wanted!r}", file=sys.stderr)
        return FAILED
    async with transaction(pool) as conn:
        if not await api_keys.delete_key(conn, found[0].id, EVERY):
            print(f"scheduler-svc: there is no key {wanted!r} any more", file=sys.stderr)
            return FAILED
        await notices.key_changed(conn, found[0].id)
        await audit.insert(conn, key_draft(caller(), Action.API_KEY_REVOKED, None, found[0]))
    print(f"revoked {_line(found[0])}")
    return OK


def _line(key: ApiKey) -> str:
    until = "" if key.expires_at is None else f"  until {key.expires_at:%Y-%m-%d %H:%M:%SZ}"
    used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:%MZ}"
    scopes = ",".join(key.scopes)
    return f"{key.id}  {key.prefix}  {key.namespace}  {scopes}  {used}{until}  {key.name}"


COMMAND = Command("keys", "make, list or revoke API keys", _switches, _run)
