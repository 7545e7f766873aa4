"""Identity tokens (RFC 7519): a signed JWT becomes a caller, or nothing.

Promises that the one algorithm, the issuer and the audience are those of the settings; no key, and
no address of one, is ever taken from the token. Whatever is wrong, the answer is the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jwt
from msgspec import Struct

from scheduler_svc.api.keyset import KeysAway, Keyset
from scheduler_svc.domain.access import Caller
from scheduler_svc.domain.claims import ClaimRules, ClaimsRefused, caller_of
from scheduler_svc.domain.errors import Unauthenticated, Unavailable

TOKEN_MAX = 8192
_NOT_TAKEN = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "zip", "b64", "enc"})
_REFUSAL = "The token is not valid here, or not valid now."


class TokenRules(Struct, frozen=True, kw_only=True):
    """What a token must be to be accepted."""

    algorithm: str
    issuer: str
    audience: str
    claims: ClaimRules


class Tokens:
    """Judges tokens by a shared secret (HS256), or by the public keys of their issuer."""

    def __init__(
        self,
        rules: TokenRules,
        now_ms: Callable[[], int],
        *,
        secret: str | None = None,
        keyset: Keyset | None = None,
    ) -> None:
        self._rules = rules
        self._now_ms = now_ms
        self._secret = secret
        self._keyset = keyset

    async def caller(self, token: str) -> Caller:
        """Return whom a token stands for; raise Unauthenticated, Unavailable."""
        if len(token) > TOKEN_MAX:
            raise Unauthenticated(_REFUSAL, given=True)
        try:
            key = await self._key(jwt.get_unverified_header(token))
            claims = self._decoded(token, key)
            return caller_of(claims, self._rules.claims, now_ms=self._now_ms())
        except KeysAway:
            raise Unavailable("The issuer's keys can not be read just now. Try again.") from None
        except (jwt.PyJWTError, ClaimsRefused, ValueError, TypeError, RecursionError):
            raise Unauthenticated(_REFUSAL, given=True) from None

    async def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK | str:
        """Choose the key: of the header only its key id counts, and only as a name."""
        kid = header.get("kid")
        if header.get("alg") != self._rules.algorithm or _NOT_TAKEN & set(header):
            raise ClaimsRefused("header")
        if not (kid is None or isinstance(kid, str)):
            raise ClaimsRefused("kid")
        if self._secret is not None:
            return self._secret
        found = None if self._keyset is None else await self._keyset.key(kid)
        if found is None:
            raise ClaimsRefused("kid")
        return found

    def _decoded(self, token: str, key: jwt.PyJWK | str) -> dict[str, Any]:
        """Verify the signature, issuer and audience; the times are judged by our own clock."""
        rules = self._rules
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[rules.algorithm],
            issuer=rules.issuer,
            audience=rules.audience,
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        return claims
