"""The issuer of identity tokens, as the settings name it: its rules, and how its keys are read.

An address is called like a target: through the egress guard, with limits, without redirects.
"""

import asyncio
from http import HTTPStatus
from pathlib import Path

from scheduler_svc.api.keyset import BYTES_MAX, Keyset, Read
from scheduler_svc.api.tokens import TokenRules, Tokens
from scheduler_svc.delivery.exchange import HttpRequest
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.claims import ClaimRules
from scheduler_svc.domain.url import parse_url
from scheduler_svc.engine.clock import Clock
from scheduler_svc.settings import Settings

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 5.0


def tokens_of(settings: Settings, sender: Sender, clock: Clock) -> Tokens | None:
    """Build what judges identity tokens; None where none are accepted."""
    if settings.jwt_algorithm is None:
        return None
    rules = TokenRules(
        algorithm=settings.jwt_algorithm,
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience or "",
        claims=ClaimRules(
            namespace_claim=settings.jwt_namespace_claim,
            scope_claim=settings.jwt_scope_claim,
            leeway_seconds=settings.jwt_leeway,
        ),
    )
    keyset = None
    if settings.jwt_jwks is not None:
        keyset = Keyset(reader(settings.jwt_jwks, sender), settings.jwt_algorithm)
    return Tokens(rules, clock.now_ms, secret=settings.jwt_secret, keyset=keyset)


def reader(where: str, sender: Sender) -> Read:
    """Return what reads a key set; it raises OSError or ValueError where that fails."""
    if not where.startswith(("https://", "http://")):
        return lambda: asyncio.to_thread(_read_file, Path(where))
    request = HttpRequest(
        method="GET",
        url=parse_url(where),
        headers=[(b"Accept", b"application/jwk-set+json, application/json")],
        connect_timeout=CONNECT_SECONDS,
        first_byte_timeout=TOTAL_SECONDS,
        total_timeout=TOTAL_SECONDS,
        capture_max=BYTES_MAX,
    )

    async def read() -> bytes:
        answer = await sender.send(request)
        if answer.status_code != HTTPStatus.OK or answer.outcome != "ok" or answer.truncated:
            raise OSError(f"the key set was not answered: {answer.outcome} {answer.status_code}")
        return answer.body

    return read


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BYTES_MAX + 1)
