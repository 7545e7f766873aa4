"""Credentials as they should not be given, and what guessing tells: nothing."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from msgspec.structs import replace

from raw import Place, listening
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.store.pool import close_pool, open_pool
from serving import Clock

KEY = "a-bootstrap-key-of-enough-length"
HOST = b"Host: localhost\r\n"
GIVEN = b"Authorization: Bearer " + KEY.encode() + b"\r\n"


@pytest.fixture
async def told() -> list[str]:
    """The statements that the gate sends."""
    return []


@pytest.fixture
async def place(deps: Deps, clock: Clock, dsn: str, told: list[str]) -> AsyncIterator[Place]:
    def on_statement(name: str, _seconds: float, /, *, failed: bool) -> None:
        told.append(f"{name}, failed" if failed else name)

    opened = await open_pool(dsn, application_name="gate", size_max=2, on_statement=on_statement)
    gate = Gate(opened, clock, required=True, bootstrap_key=KEY)
    async with listening(build_app(replace(deps, gate=gate))) as found:
        yield found
    await close_pool(opened)


async def status(place: Place, fields: bytes, path: bytes = b"/jobs") -> int:
    (answer,) = await place.ask(b"GET " + path + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n")
    return answer.status


async def test_the_key_as_it_should_be_is_taken(place: Place) -> None:
    assert await status(place, GIVEN) == 200
    assert await status(place, GIVEN.replace(b"Bearer", b"bEARER")) == 200


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Authorization:\r\n",
        b"Authorization: Bearer\r\n",
        b"Authorization: " + KEY.encode() + b"\r\n",
        b"Authorization: Basic " + KEY.encode() + b"\r\n",
        b"Authorization: Bearer Bearer " + KEY.encode() + b"\r\n",
        b"Authorization: Bearer " + KEY.encode() + b"x\r\n",
        b"Authorization: Bearer " + KEY.encode()[:-1] + b"\r\n",
        b"Authorization: Bearer " + KEY.upper().encode() + b"\r\n",
        b"Authorization: Bearer " + KEY.encode() + b", Bearer x\r\n",
        GIVEN + GIVEN,
        GIVEN + b"Authorization: Bearer x\r\n",
        b"Authorization: Bearer x\r\n" + GIVEN,
        b"Proxy-Authorization: Bearer " + KEY.encode() + b"\r\n",
        b"X-API-Key: " + KEY.encode() + b"\r\n",
        b"Cookie: Authorization=" + KEY.encode() + b"\r\n",
        b"Authorization: Bearer " + b"a" * 20_000 + b"\r\n",
        b"Authorization: Bearer \xff\xfe\r\n",
    ],
)
async def test_whatever_else_is_given_is_401(place: Place, fields: bytes) -> None:
    assert await status(place, fields) == 401


@pytest.mark.parametrize("fields", [GIVEN[:-2] + b"\0\r\n", b"Authorization : " + GIVEN[15:]])
async def test_what_is_no_field_at_all_is_400(place: Place, fields: bytes) -> None:
    assert await status(place, fields) == 400


async def test_a_credential_of_a_mebibyte_is_431(place: Place) -> None:
    assert await status(place, b"Authorization: Bearer " + b"a" * 1024**2 + b"\r\n") == 431


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "token", "authorization"])
async def test_a_key_in_the_address_is_never_taken(place: Place, name: str) -> None:
    assert await status(place, b"", f"/jobs?{name}={KEY}".encode()) == 401


async def test_a_guess_costs_the_same_and_tells_the_same_however_near_it_is(
    place: Place, told: list[str]
) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{place.port}") as http:
        mine = {"Authorization": f"Bearer {KEY}"}
        sent = {"name": "a", "scopes": ["admin"]}
        key = (await http.post("/api-keys", json=sent, headers=mine)).json()["key"]
        near = [
            key[:-1] + ("A" if key[-1] != "A" else "B"),
            key[:12] + ("A" if key[12] != "A" else "B") + key[13:],
            "sk_00000000_" + key[12:],
            "sk_" + "0" * 52,
        ]
        seen = set()
        for guess in near:
            told.clear()
            answer = await http.get("/jobs", headers={"Authorization": f"Bearer {guess}"})
            problem = {**answer.json(), "request_id": ""}
            seen.add((answer.status_code, str(problem), tuple(told)))
    assert len(seen) == 1
    ((code, _, statements),) = seen
    assert (code, statements) == (401, ("find_api_key",))
