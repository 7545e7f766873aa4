"""Public keys, for whoever checks what we send: read without credentials, and nothing else here is.

Webhook keys verify `v1a` signatures, the key set and the configuration identity tokens (OpenID
Connect Discovery 1.0).
"""

import base64
from typing import Literal

import msgspec
from msgspec import Struct

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.delivery.identity import ALGORITHM, PUBLISHED_SECONDS, issuer_url
from scheduler_svc.delivery.signing import PUBLIC_PREFIX
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store import identity_keys, signing_secrets
from scheduler_svc.store.pool import connection

CACHED = {"Cache-Control": "public, max-age=60"}
KEYS_PATH = "/.well-known/jwks.json"


class WebhookKey(Struct, frozen=True, kw_only=True):
    """An Ed25519 public key (RFC 8037), also in the spelling of Standard Webhooks."""

    kid: str
    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"
    x: str
    whpk: str


class WebhookKeys(Struct, frozen=True, kw_only=True):
    """All public keys whose signatures are good now."""

    keys: list[WebhookKey]


class IdentityKey(Struct, frozen=True, kw_only=True):
    """An RSA public key (RFC 7518)."""

    kid: str
    kty: Literal["RSA"]
    alg: Literal["RS256"]
    use: Literal["sig"]
    n: str
    e: str


class IdentityKeys(Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[IdentityKey]


class Configuration(Struct, frozen=True, kw_only=True):
    """Where the issuer's keys are and what its tokens look like."""

    issuer: str
    jwks_uri: str
    response_types_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    claims_supported: list[str]


async def get_webhook_keys(call: Call) -> Reply:
    """List the public keys of `v1a` signatures."""
    now = instant_at(call.deps.now_ms())
    async with connection(call.deps.pool) as conn:
        found = await signing_secrets.public_keys(conn, now=now)
    keys = [WebhookKey(kid=str(key_id), x=_unpadded(text), whpk=text) for key_id, text in found]
    return Reply(body=WebhookKeys(keys=keys), headers=dict(CACHED))


async def get_identity_keys(call: Call) -> Reply:
    """List the public keys of identity tokens."""
    since = instant_at(call.deps.now_ms() - PUBLISHED_SECONDS * 1000)
    async with connection(call.deps.pool) as conn:
        found = await identity_keys.public_keys(conn, since=since)
    keys = [msgspec.json.decode(text, type=IdentityKey) for text in found]
    return Reply(body=IdentityKeys(keys=keys), headers=dict(CACHED))


async def get_configuration(call: Call) -> Reply:
    """Say where the keys are; without a public address there is no issuer."""
    if call.deps.public_url is None:
        raise NotFound("There is no issuer of identity tokens: SCHEDULER_PUBLIC_URL is not set.")
    issuer = issuer_url(call.deps.public_url)
    shown = Configuration(
        issuer=issuer,
        jwks_uri=issuer + KEYS_PATH,
        response_types_supported=["id_token"],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=[ALGORITHM],
        claims_supported=[
            *("iss", "aud", "sub", "iat", "exp"),
            *("namespace", "job_id", "job_name"),
        ],
    )
    return Reply(body=shown, headers=dict(CACHED))


def _unpadded(text: str) -> str:
    raw = base64.b64decode(text.removeprefix(PUBLIC_PREFIX))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


ROUTES = (
    Route(
        method="GET",
        path="/.well-known/webhook-keys",
        handler=get_webhook_keys,
        operation_id="get_webhook_keys",
        summary="Public keys of `v1a` signatures",
        tag="secrets",
        answers={200: Answer(description="The keys, newest first.", type=WebhookKeys)},
    ),
    Route(
        method="GET",
        path=KEYS_PATH,
        handler=get_identity_keys,
        operation_id="get_identity_keys",
        summary="Public keys of identity tokens",
        tag="secrets",
        answers={200: Answer(description="A JSON Web Key Set.", type=IdentityKeys)},
    ),
    Route(
        method="GET",
        path="/.well-known/openid-configuration",
        handler=get_configuration,
        operation_id="get_openid_configuration",
        summary="The issuer of identity tokens",
        description="404 where `SCHEDULER_PUBLIC_URL` is not set: then there is no issuer.",
        tag="secrets",
        answers={200: Answer(description="OpenID Connect Discovery 1.0.", type=Configuration)},
        problems=(404,),
    ),
)
