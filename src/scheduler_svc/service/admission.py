"""Who may come in, and how often: the gate of a replica, its meter, and its ear.

Promises that the production profile never serves where nobody could have credentials.
"""

import os
from collections.abc import Callable, Mapping

from scheduler_svc.api.gate import Gate
from scheduler_svc.api.limits import Limiter
from scheduler_svc.api.sessions import Sessions
from scheduler_svc.api.tokens import Tokens
from scheduler_svc.domain.limits import Policy
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.engine.run import Listener
from scheduler_svc.settings import Settings
from scheduler_svc.store import notices
from scheduler_svc.store.api_keys import any_key
from scheduler_svc.store.lineage import Lineage
from scheduler_svc.store.pool import Pool, connection

Ear = Callable[[str], None]
NO_KEYS = (
    "nobody could do anything: the production profile asks for API keys, and there are none."
    " Make one with `scheduler-svc keys create --name NAME --scopes admin --namespace '*'`,"
    " set SCHEDULER_BOOTSTRAP_KEY, or name an issuer of tokens (SCHEDULER_JWT_ALGORITHM)"
)


def gate_of(settings: Settings, pool: Pool, clock: DatabaseClock, tokens: Tokens | None) -> Gate:
    """Build what asks for credentials; the development profile takes them, and asks for none."""
    return Gate(
        pool,
        clock.now_ms,
        required=settings.profile == "production",
        bootstrap_key=settings.bootstrap_key,
        tokens=tokens,
        sessions=Sessions(
            pool,
            clock.now_ms,
            os.urandom,
            idle_seconds=settings.session_idle,
            most_seconds=settings.session_max,
        ),
    )


def meter_of(settings: Settings, pool: Pool) -> Limiter:
    """Build what counts requests; a limit of 0 is none."""
    return Limiter(
        pool,
        [
            Policy("reads", settings.rate_reads),
            Policy("writes", settings.rate_writes),
            Policy("bulk", settings.rate_bulk),
            Policy("logins", settings.rate_failed_logins),
        ],
    )


async def reason_to_refuse(settings: Settings, pool: Pool, clock: DatabaseClock) -> str | None:
    """Say why this replica must not start; None where it may."""
    if settings.profile != "production" or settings.bootstrap_key or settings.jwt_algorithm:
        return None
    async with connection(pool) as conn:
        return None if await any_key(conn, now_ms=clock.now_ms()) else NO_KEYS


def listener(
    dsn: str, ears: Mapping[str, Ear], *, application_name: str, lineage: Lineage
) -> Listener:
    """Return what listens for notices: some words have an ear here, the rest are the engine's."""

    async def listen(heard: notices.Handler) -> None:
        def hear(word: str, argument: str) -> None:
            ear = ears.get(word)
            if ear is None:
                heard(word, argument)
            else:
                ear(argument)

        await notices.listen(dsn, hear, application_name=application_name, lineage=lineage)

    return listen
