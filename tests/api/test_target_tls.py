"""`target.tls` over HTTP: judged whole, its key sealed and masked, and kept by the mask."""

import datetime as dt
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from msgspec import structs

from factories import Clock, body
from pem import ca_of, chain_of, key_of
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.vault import PREFIX
from sealing import RING

Json = dict[str, Any]
TLS_URL = "https://target.example/"
AUTHORITY = trustme.CA()
LEAF = AUTHORITY.issue_cert("client.example")
OTHER = AUTHORITY.issue_cert("client.example")
FULL = {
    "ca": ca_of(AUTHORITY),
    "certificate": chain_of(LEAF),
    "key": key_of(LEAF),
    "server_name": "inner.example",
}
SECRET = FULL["key"].splitlines()[1]


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    """The machine's time, in which these certificates are valid."""
    clock.ms = None


@pytest.fixture
async def sealed(deps: Deps) -> AsyncIterator[httpx2.AsyncClient]:
    """A service that has a key ring."""
    transport = httpx2.ASGITransport(build_app(structs.replace(deps, ring=RING)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


@pytest.fixture
async def ringless(deps: Deps) -> AsyncIterator[httpx2.AsyncClient]:
    """A service that has none, on the same database."""
    transport = httpx2.ASGITransport(build_app(structs.replace(deps, ring=None)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


def job(tls: Any, **target: Any) -> Json:
    return body(target={"url": TLS_URL, "tls": tls, **target})


async def put(http: httpx2.AsyncClient, tls: Any, **target: Any) -> Json:
    answer = await http.put("/jobs/secured", json=job(tls, **target))
    assert answer.status_code in {200, 201}, answer.text
    made: Json = answer.json()
    return made


async def stored_key(pool: Pool) -> str | None:
    key: str | None = await pool.fetchval("SELECT definition #>> '{target,tls,key}' FROM jobs")
    return key


async def refused(http: httpx2.AsyncClient, tls: Any, **target: Any) -> dict[str, str]:
    told: dict[str, str] | None = None
    for method, path in (("POST", "/jobs"), ("PUT", "/jobs/x"), ("POST", "/jobs?dry_run=true")):
        answer = await http.request(method, path, json=job(tls, **target))
        assert answer.status_code == 422, answer.text
        assert SECRET not in answer.text
        found = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
        assert told in (None, found)
        told = found
    assert told is not None
    return told


async def test_a_key_is_shown_as_a_mask_and_stored_sealed(
    sealed: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await put(sealed, FULL)
    assert made["target"]["tls"] == {**FULL, "key": "***"}
    assert (await stored_key(pool) or "").startswith(PREFIX)
    for path in ("/jobs/secured", "/jobs/secured?view=spec", "/jobs"):
        text = (await sealed.get(path)).text
        assert SECRET not in text
        assert PREFIX not in text
        assert '"key":"***"' in text
    row = await pool.fetchval("SELECT definition::text FROM jobs")
    assert SECRET not in row


async def test_the_mask_sent_back_keeps_the_key_and_changes_nothing(
    sealed: httpx2.AsyncClient, pool: Pool
) -> None:
    await put(sealed, FULL)
    kept = await stored_key(pool)
    spec = (await sealed.get("/jobs/secured?view=spec")).json()
    again = await sealed.put("/jobs/secured", json=spec)
    assert (again.json()["changed"], again.json()["revision"]) == (False, 1)
    # So does the key itself, and a patch of something else.
    assert (await put(sealed, FULL))["changed"] is False
    patched = await sealed.patch("/jobs/secured", json={"target": {"timeout": "5s"}})
    assert patched.status_code == 200
    assert patched.json()["target"]["tls"]["key"] == "***"
    assert await stored_key(pool) == kept


async def test_parts_are_changed_by_a_patch_and_all_goes_with_null(
    sealed: httpx2.AsyncClient, pool: Pool
) -> None:
    await put(sealed, FULL)
    patch = {"target": {"tls": {"server_name": None, "ca": None}}}
    answer = await sealed.patch("/jobs/secured", json=patch)
    assert answer.json()["target"]["tls"] == {
        "ca": None,
        "certificate": FULL["certificate"],
        "key": "***",
        "server_name": None,
    }
    pair = {"certificate": chain_of(OTHER), "key": key_of(OTHER)}
    before = await stored_key(pool)
    answer = await sealed.patch("/jobs/secured", json={"target": {"tls": pair}})
    assert answer.status_code == 200
    assert await stored_key(pool) != before
    answer = await sealed.patch("/jobs/secured", json={"target": {"tls": None}})
    assert answer.json()["target"]["tls"] is None
    assert await stored_key(pool) is None


async def test_a_kept_key_must_fit_a_new_certificate(sealed: httpx2.AsyncClient) -> None:
    await put(sealed, FULL)
    renewed = {**FULL, "key": "***"}
    for certificate, status in ((chain_of(OTHER), 422), (_renewed(LEAF), 200)):
        answer = await sealed.put(
            "/jobs/secured", json=job({**renewed, "certificate": certificate})
        )
        assert answer.status_code == status, answer.text
        if status == 422:
            (error,) = answer.json()["errors"]
            assert error["pointer"] == "/target/tls/key"
            assert "belong together" in error["detail"]


async def test_without_a_key_ring_no_key_is_taken(ringless: httpx2.AsyncClient, pool: Pool) -> None:
    told = await refused(ringless, FULL)
    assert set(told) == {"/target/tls/key"}
    assert "SCHEDULER_SECRET_KEYS" in told["/target/tls/key"]
    # What holds no secret needs none.
    assert (await ringless.post("/jobs", json=job({"ca": FULL["ca"]}))).status_code == 201


async def test_a_ring_that_is_gone_leaves_the_job_editable(
    sealed: httpx2.AsyncClient, ringless: httpx2.AsyncClient
) -> None:
    await put(sealed, FULL)
    answer = await ringless.patch("/jobs/secured", json={"target": {"timeout": "5s"}})
    assert answer.status_code == 200
    answer = await ringless.patch(
        "/jobs/secured", json={"target": {"tls": {"certificate": chain_of(OTHER)}}}
    )
    assert answer.status_code == 422
    assert "can not be opened" in answer.json()["errors"][0]["detail"]


def _pem(key: PrivateKeyTypes, password: bytes | None = None) -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def _signed(key: PrivateKeyTypes, *, days: int = 1) -> str:
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client.example")])
    issuer = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(issuer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _key_object(leaf: trustme.LeafCert) -> PrivateKeyTypes:
    return serialization.load_pem_private_key(key_of(leaf).encode(), None)


def _renewed(leaf: trustme.LeafCert) -> str:
    """Another certificate for the same key."""
    return _signed(_key_object(leaf))


# Valid for a hundred years, and made by a tool that still signs so; its key was thrown away.
OF_SHA1 = """\
-----BEGIN CERTIFICATE-----
MIIBiDCCAS6gAwIBAgIUUMU2+1r7cP1I4Sp/Vg44RhSfVzUwCQYHKoZIzj0EATAZ
MRcwFQYDVQQDDA5jbGllbnQuZXhhbXBsZTAgFw0yNjExMjYwNzU4MzRaGA8yMTI2
MTEwMjA3NTgzNFowGTEXMBUGA1UEAwwOY2xpZW50LmV4YW1wbGUwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAATJ/7tPyIbVa/yKdDmHelc/cFOAbZMDVVrC7HUbTNT9
fySgAwLDPXTl3eNWHhddAo0lSnQkDV+nsKk47WvMZkw9o1MwUTAdBgNVHQ4EFgQU
79qYCykdxRzLjSi48LWwq2w4YkQwHwYDVR0jBBgwFoAU79qYCykdxRzLjSi48LWw
q2w4YkQwDwYDVR0TAQH/BAUwAwEB/zAJBgcqhkjOPQQBA0kAMEYCIQCqbCP8QcAJ
nfZMt0WxM/8eieTZyWhDlz6JDVDkn9VQhwIhAPczos5QxJxDR0CSImTeCBHvRt8X
vxL2Aiqi8i5SyDrx
-----END CERTIFICATE-----
"""
EXPIRED = _signed(_key_object(LEAF), days=-1)
SMALL = rsa.generate_private_key(65537, 1024)
ODD_CURVE = ec.generate_private_key(ec.SECP256K1())
DSA = dsa.generate_private_key(2048)

RSA = rsa.generate_private_key(65537, 2048)
BROKEN = rsa.RSAPrivateNumbers(
    **{
        **{part: getattr(RSA.private_numbers(), part) for part in ("p", "q", "dmq1", "iqmp")},
        "d": 3,
        "dmp1": 3,
        "public_numbers": RSA.public_key().public_numbers(),
    }
).private_key(unsafe_skip_rsa_key_validation=True)

FAULTS: list[tuple[str, Any, dict[str, str]]] = [
    ("nothing", {}, {"": "says nothing"}),
    ("unknown", {"verify": False}, {"/verify": "unknown field"}),
    ("no pem", {"ca": "x"}, {"/ca": "PEM"}),
    ("a key for a ca", {"ca": FULL["key"]}, {"/ca": "private key"}),
    ("an expired ca", {"ca": EXPIRED}, {"/ca": "expired on"}),
    (
        "one of two expired",
        {"ca": FULL["ca"] + EXPIRED},
        {"/ca": "certificate 2 of it expired on"},
    ),
    ("many", {"ca": FULL["ca"] * 21}, {"/ca": "at most 20"}),
    ("long", {"ca": "x" * 65_537}, {"/ca": "characters"}),
    ("a certificate alone", {"certificate": FULL["certificate"]}, {"/key": "is needed"}),
    ("a key alone", {"key": FULL["key"]}, {"/certificate": "is needed"}),
    ("the mask of nothing", {**FULL, "key": "***"}, {"/key": "nothing is stored"}),
    ("another key", {**FULL, "key": key_of(OTHER)}, {"/key": "belong together"}),
    (
        "a key that signs wrongly",
        {**FULL, "certificate": _signed(RSA), "key": _pem(BROKEN)},
        {"/key": "belong together"},
    ),
    ("a broken key", {**FULL, "key": FULL["key"].replace(SECRET, "AAAA")}, {"/key": "no private"}),
    ("a public key", {**FULL, "key": FULL["certificate"]}, {"/key": "no private key"}),
    (
        "an encrypted key",
        {**FULL, "key": _pem(_key_object(LEAF), b"password")},
        {"/key": "is encrypted"},
    ),
    (
        "an expired certificate",
        {**FULL, "certificate": EXPIRED},
        {"/certificate": "expired on"},
    ),
    (
        "key and certificate in one",
        {**FULL, "certificate": FULL["certificate"] + FULL["key"]},
        {"/certificate": "private key"},
    ),
    (
        "a small key",
        {**FULL, "certificate": _signed(SMALL), "key": _pem(SMALL)},
        {"/key": "2048 to 8192"},
    ),
    (
        "an odd curve",
        {**FULL, "certificate": _signed(ODD_CURVE), "key": _pem(ODD_CURVE)},
        {"/key": "P-256"},
    ),
    ("a key of another kind", {**FULL, "key": _pem(DSA)}, {"/key": "RSA, EC or Ed25519"}),
    ("no name", {"server_name": "a b"}, {"/server_name": "no name of a server"}),
    ("a url", {"server_name": "https://a.example/"}, {"/server_name": "no name of a server"}),
    ("a port", {"server_name": "a.example:443"}, {"/server_name": "no name of a server"}),
    ("a path", {"server_name": "a.example/x"}, {"/server_name": "write 'a.example'"}),
    ("capitals", {"server_name": "A.example."}, {"/server_name": "write 'a.example'"}),
    (
        "everything",
        {"ca": "x", "certificate": "y", "key": "z", "server_name": "-"},
        {
            "/ca": "PEM",
            "/certificate": "PEM",
            "/key": "no private key",
            "/server_name": "no name of a server",
        },
    ),
]


@pytest.mark.parametrize(
    ("tls", "faults"), [case[1:] for case in FAULTS], ids=[c[0] for c in FAULTS]
)
async def test_what_is_wrong_is_told_with_its_pointer_and_the_fix(
    sealed: httpx2.AsyncClient, tls: Any, faults: dict[str, str]
) -> None:
    told = await refused(sealed, tls)
    assert set(told) == {f"/target/tls{pointer}" for pointer in faults}
    for pointer, part in faults.items():
        assert part in told[f"/target/tls{pointer}"]


async def test_a_certificate_signed_by_a_weak_algorithm_is_refused(
    sealed: httpx2.AsyncClient,
) -> None:
    told = await refused(sealed, {**FULL, "certificate": OF_SHA1})
    assert "signed with SHA1; give one signed with SHA-256" in told["/target/tls/certificate"]


async def test_tls_for_a_plain_address_is_refused_rather_than_without_effect(
    sealed: httpx2.AsyncClient,
) -> None:
    told = await refused(sealed, {"ca": FULL["ca"]}, url="HTTP://target.example/")
    assert told == {"/target/tls": "has no effect on http://; use https://"}


async def test_a_certificate_that_ran_out_since_does_not_keep_its_job_from_being_edited(
    sealed: httpx2.AsyncClient, clock: Clock
) -> None:
    brief = {**FULL, "certificate": _renewed(LEAF)}
    await put(sealed, brief)
    clock.ms = time.time_ns() // 1_000_000 + 10 * 86_400_000
    edited = {**brief, "key": "***", "server_name": "other.example"}
    answer = await sealed.put("/jobs/secured", json=job(edited))
    assert answer.status_code == 200, answer.text
    again = {**edited, "certificate": _renewed(LEAF)}
    answer = await sealed.put("/jobs/secured", json=job(again))
    assert answer.status_code == 422


@pytest.mark.parametrize("key", ["rsa", "ec", "ed25519"])
async def test_keys_of_every_usual_kind_are_taken(sealed: httpx2.AsyncClient, key: str) -> None:
    made: PrivateKeyTypes
    match key:
        case "rsa":
            made = rsa.generate_private_key(65537, 2048)
        case "ec":
            made = ec.generate_private_key(ec.SECP384R1())
        case _:
            made = ed25519.Ed25519PrivateKey.generate()
    await put(sealed, {"certificate": _signed(made), "key": _pem(made)})


@pytest.mark.parametrize("name", ["inner.example", "10.1.2.3", "fd00::1", "xn--bcher-kva.example"])
async def test_a_server_name_may_be_a_name_or_an_address(
    sealed: httpx2.AsyncClient, name: str
) -> None:
    assert (await put(sealed, {"server_name": name}))["target"]["tls"]["server_name"] == name
