"""Identity tokens: accepted from one issuer by one algorithm, and refused in every disguise."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from factories import MORNING_MS, body
from receiver import Receiver, answer, receiving
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.keyset import KeysAway, Keyset, keys_of
from scheduler_svc.api.tokens import TokenRules, Tokens
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.claims import ClaimRules
from scheduler_svc.service.issuer import reader
from scheduler_svc.store.pool import Pool
from sending import LOOPBACK
from serving import Clock

ISSUER, AUDIENCE = "https://id.test/", "scheduler"
SECRET = "a-secret-of-thirty-two-bytes-and-more"
NOW = MORNING_MS // 1000
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, Any] = {"RS256": RSA_KEY, "PS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "exp": NOW + 300,
    "scope": "jobs:read jobs:write",
}


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key, as an issuer shows it."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return {**RSAAlgorithm.to_jwk(public, as_dict=True), **members}
    if isinstance(public, ec.EllipticCurvePublicKey):
        return {**ECAlgorithm.to_jwk(public, as_dict=True), **members}
    return {**OKPAlgorithm.to_jwk(public, as_dict=True), **members}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def sign(key: Any = RSA_KEY, algorithm: str = "RS256", **changes: Any) -> str:
    headers = changes.pop("headers", {"kid": "one"})
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """What shows keys; counts how often it was asked."""

    def __init__(self, shown: bytes) -> None:
        self.shown: bytes | None = shown
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        if self.shown is None:
            raise OSError
        return self.shown


class Hand:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def tokens(clock: Clock, algorithm: str, **how: Any) -> Tokens:
    clock.ms = MORNING_MS
    rules = TokenRules(algorithm=algorithm, issuer=ISSUER, audience=AUDIENCE, claims=ClaimRules())
    return Tokens(rules, clock, **how)


@pytest.fixture
def accepted(clock: Clock) -> Tokens:
    shown = jwks(jwk(RSA_KEY, kid="one", use="sig", alg="RS256"))
    return tokens(clock, "RS256", keyset=Keyset(Issuer(shown), "RS256"))


@pytest.fixture
async def http(
    deps: Deps, pool: Pool, clock: Clock, accepted: Tokens
) -> AsyncIterator[httpx2.AsyncClient]:
    gate = Gate(pool, clock, required=True, tokens=accepted)
    transport = httpx2.ASGITransport(build_app(msgspec.structs.replace(deps, gate=gate)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


async def status(http: httpx2.AsyncClient, token: str) -> int:
    answered = await http.get("/jobs", headers={"Authorization": f"Bearer {token}"})
    if answered.status_code == 401:
        assert answered.json()["code"] == "unauthenticated"
        assert token not in answered.text
    return answered.status_code


async def test_a_good_token_is_its_subject_in_its_namespace_with_its_scopes(
    http: httpx2.AsyncClient,
) -> None:
    headers = {"Authorization": f"Bearer {sign(namespace='team-a')}"}
    made = await http.post("/jobs", json=body(name="j"), headers=headers)
    assert (made.status_code, made.json()["namespace"]) == (201, "team-a")
    paused = await http.post("/jobs/j/pause", headers=headers)
    assert paused.json()["pause"]["by"] == "alice"
    assert (await http.get("/runs", headers=headers)).status_code == 403


@pytest.mark.parametrize("algorithm", KEYS)
async def test_each_algorithm_verifies_what_its_key_has_signed(
    clock: Clock, algorithm: str
) -> None:
    keyset = Keyset(Issuer(jwks(jwk(KEYS[algorithm], kid="one"))), algorithm)
    judged = tokens(clock, algorithm, keyset=keyset)
    assert (await judged.caller(sign(KEYS[algorithm], algorithm))).name == "alice"


async def test_a_shared_secret_verifies_what_was_signed_with_it(clock: Clock) -> None:
    judged = tokens(clock, "HS256", secret=SECRET)
    assert (await judged.caller(sign(SECRET, "HS256", headers={}))).name == "alice"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 31},
        {"exp": ...},
        {"exp": str(NOW + 300)},
        {"nbf": NOW + 31},
        {"iat": NOW + 31},
        {"aud": ...},
        {"aud": "schedule"},
        {"aud": "scheduler-other"},
        {"aud": ["other"]},
        {"aud": None},
        {"iss": ...},
        {"iss": "https://id.test"},
        {"iss": "https://id.test/x"},
        {"iss": ["https://id.test/"]},
        {"sub": ...},
        {"scope": 7},
    ],
)
async def test_a_token_with_other_claims_is_refused(
    http: httpx2.AsyncClient, claims: dict[str, Any]
) -> None:
    raw = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    head, payload = part({"alg": "RS256", "kid": "one"}), part(raw)
    signer = jwt.get_algorithm_by_name("RS256")
    signature = signer.sign(f"{head}.{payload}".encode(), RSA_KEY)
    assert await status(http, f"{head}.{payload}.{part(signature)}") == 401


async def test_an_audience_in_a_list_will_do(http: httpx2.AsyncClient) -> None:
    assert await status(http, sign(aud=["other", AUDIENCE])) == 200


def forged() -> dict[str, str]:
    """Tokens that are not what they say, by what is wrong with them."""
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    good = sign()
    head, payload, signature = good.split(".")
    hmac = jwt.get_algorithm_by_name("HS256")
    confused = f"{part({'alg': 'HS256', 'kid': 'one'})}.{payload}"
    made = {
        "signed with the public key": f"{confused}.{part(hmac.sign(confused.encode(), public))}",
        "another key": sign(OTHER_RSA),
        "the other padding": sign(RSA_KEY, "PS256"),
        "no signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.x",
        "five parts": f"{good}.x.y",
        "only dots": "..",
        "another payload": f"{head}.{part({**CLAIMS, 'sub': 'root'})}.{signature}",
        "a payload that is no object": f"{head}.{part([1])}.{signature}",
        "a header that is no object": f"{part([1])}.{payload}.{signature}",
        "no JSON": f"{part(b'x')}.{payload}.{signature}",
        "too long": sign(pad="x" * 9000),
    }
    for name in ("none", "None", "NONE", "nOnE"):
        made[name] = f"{part({'alg': name, 'kid': 'one'})}.{payload}."
    for name, value in {
        "jwk": jwk(OTHER_RSA),
        "jku": "https://evil.test/keys",
        "x5u": "https://evil.test/cert",
        "x5c": ["MIIB"],
        "crit": ["exp"],
        "zip": "DEF",
        "b64": True,
        "enc": "A256GCM",
    }.items():
        key = OTHER_RSA if name in {"jwk", "jku"} else RSA_KEY
        head = part({"alg": "RS256", "kid": "one", name: value})
        signer = jwt.get_algorithm_by_name("RS256")
        signed = signer.sign(f"{head}.{payload}".encode(), key)
        made[f"header {name}"] = f"{head}.{payload}.{part(signed)}"
    names: list[Any] = ["two", "../../etc/passwd", "' OR 1=1 --", "https://evil.test/k", "", 7, []]
    for kid in names:
        made[f"kid {kid!r}"] = f"{part({'alg': 'RS256', 'kid': kid})}.{payload}.{signature}"
    return made


@pytest.mark.parametrize("what", forged())
async def test_no_disguise_is_taken_for_a_token(http: httpx2.AsyncClient, what: str) -> None:
    assert await status(http, forged()[what]) == 401


async def test_an_empty_signature_on_a_curve_is_refused(clock: Clock) -> None:
    judged = tokens(clock, "ES256", keyset=Keyset(Issuer(jwks(jwk(EC_KEY, kid="one"))), "ES256"))
    head, payload, _ = sign(EC_KEY, "ES256").split(".")
    for zeros in (b"\0" * 64, b"", b"\0"):
        with pytest.raises(Exception, match="not valid"):
            await judged.caller(f"{head}.{payload}.{part(zeros)}")


def test_only_keys_for_this_algorithm_are_in_a_set() -> None:
    shown = jwks(
        jwk(RSA_KEY, kid="good"),
        jwk(OTHER_RSA, kid="for encryption", use="enc"),
        jwk(OTHER_RSA, kid="for another", alg="PS256"),
        jwk(EC_KEY, kid="a curve"),
        jwk(rsa.generate_private_key(65537, 1024), kid="short"),
        {"kty": "oct", "kid": "shared", "k": part(SECRET.encode())},
        {"kty": "RSA", "kid": "broken", "n": "x", "e": "AQAB"},
        jwk(RSA_KEY, kid="twice"),
        jwk(OTHER_RSA, kid="twice"),
        jwk(RSA_KEY, kid=7),
        7,  # type: ignore[arg-type]
    )
    assert set(keys_of(shown, "RS256")) == {"good"}
    assert set(keys_of(shown, "ES256")) == {"a curve"}
    assert keys_of(shown, "ES384") == {}


@pytest.mark.parametrize(
    "shown",
    [b"", b"[]", b"{}", b'{"keys": 1}', b"\xff", b" " * 300_000, jwks(*[{}] * 101)],
    ids=lambda shown: str(shown[:20]) + str(len(shown)),
)
def test_what_is_no_key_set_is_refused(shown: bytes) -> None:
    with pytest.raises(ValueError, match=r"key set|JWK"):
        keys_of(shown, "RS256")


async def test_a_key_that_is_rotated_in_is_taken_and_one_that_went_is_refused() -> None:
    hand, issuer = Hand(), Issuer(jwks(jwk(RSA_KEY, kid="old")))
    keys = Keyset(issuer, "RS256", clock=hand)
    assert await keys.key("old")
    issuer.shown = jwks(jwk(OTHER_RSA, kid="new"))
    hand.seconds += 61
    assert await keys.key("new"), "an unknown id is asked for"
    assert await keys.key("old") is None
    assert issuer.asked == 2


async def test_unknown_ids_cause_one_reading_a_minute() -> None:
    hand, issuer = Hand(), Issuer(jwks(jwk(RSA_KEY, kid="one")))
    keys = Keyset(issuer, "RS256", clock=hand)
    for n in range(120):
        hand.seconds = float(n)
        assert await keys.key(f"unknown-{n}") is None
        assert await keys.key("one")
    assert issuer.asked == 2


async def test_known_keys_go_on_for_an_hour_where_the_issuer_is_away() -> None:
    hand, issuer = Hand(), Issuer(jwks(jwk(RSA_KEY, kid="one")))
    keys = Keyset(issuer, "RS256", clock=hand)
    assert await keys.key("one")
    for shown in (None, b"no key set", jwks(*[{}] * 101)):
        issuer.shown = shown
        hand.seconds += 1100
        assert await keys.key("one")
    hand.seconds += 400
    with pytest.raises(KeysAway):
        await keys.key("one")
    issuer.shown = jwks(jwk(RSA_KEY, kid="one"))
    hand.seconds += 11
    assert await keys.key("one")


async def test_with_no_keys_at_all_the_answer_is_to_come_again(
    deps: Deps, pool: Pool, clock: Clock
) -> None:
    issuer = Issuer(b"")
    gate = Gate(
        pool, clock, required=True, tokens=tokens(clock, "RS256", keyset=Keyset(issuer, "RS256"))
    )
    transport = httpx2.ASGITransport(build_app(msgspec.structs.replace(deps, gate=gate)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for _ in range(3):
            told = await http.get("/jobs", headers={"Authorization": f"Bearer {sign()}"})
            assert (told.status_code, told.json()["code"]) == (503, "unavailable")
    assert issuer.asked == 1


async def test_keys_are_read_from_a_file_and_read_anew(tmp_path: Path) -> None:
    file, hand = tmp_path / "keys.json", Hand()
    keys = Keyset(reader(str(file), Sender(egress=LOOPBACK)), "RS256", clock=hand)
    with pytest.raises(KeysAway):
        await keys.key("one")
    file.write_bytes(jwks(jwk(RSA_KEY, kid="one")))
    hand.seconds += 11
    assert await keys.key("one")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


async def test_keys_are_read_from_an_address_within_limits(receiver: Receiver) -> None:
    good = jwks(jwk(RSA_KEY, kid="one"))
    sender = Sender(egress=LOOPBACK)
    try:
        receiver.behaviours["/keys"] = answer(200, good)
        assert await reader(receiver.url("/keys"), sender)() == good
        for path, behaviour in {
            "/500": answer(500, good),
            "/long": answer(200, b" " * 300_000),
            "/moved": answer(302, b"", {"Location": receiver.url("/keys")}),
        }.items():
            receiver.behaviours[path] = behaviour
            with pytest.raises(OSError, match="key set"):
                await reader(receiver.url(path), sender)()
        with pytest.raises(OSError, match="key set"):
            await reader("http://10.0.0.1/keys", sender)()
    finally:
        await sender.close()
