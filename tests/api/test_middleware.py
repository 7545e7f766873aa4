"""The frame around every request: ids, headers, limits, methods, hosts, and errors of ours."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.types import ASGIApp

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Call, Deps, Reply
from scheduler_svc.api.middleware import is_loopback
from scheduler_svc.api.route import BODY_MAX, BULK_BODY_MAX, MERGE_PATCH, Answer, Body, Route
from scheduler_svc.domain.errors import Fault, Invalid, Overlapping, Unavailable
from serving import Records, serving

JSON = {"Content-Type": "application/json"}
ID = "01980000-0000-7000-8000-000000000000"


async def echo(call: Call) -> Reply:
    return Reply(body={"length": len(call.body), "path": call.path})


async def fail(_call: Call) -> Reply:
    raise LookupError("a secret of the inside")


async def lose_the_database(call: Call) -> Reply:
    if call.path["how"] == "refused":
        raise ConnectionRefusedError
    if call.path["how"] == "timeout":
        raise TimeoutError
    raise Unavailable("The outcome is not known.")


async def refuse(_call: Call) -> Reply:
    raise Overlapping("Run 7 is unfinished.")


async def refuse_fields(_call: Call) -> Reply:
    raise Invalid([Fault("/a", "unknown", "unknown_field"), Fault("/b", "read-only", "read_only")])


def route(
    method: str, path: str, handler: Callable[[Call], Awaitable[Reply]], **rest: Any
) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        operation_id=f"{method}_{path}",
        summary="",
        tag="jobs",
        answers={200: Answer(description="")},
        **rest,
    )


ROUTES = (
    route("GET", "/things/{id}", echo),
    route("DELETE", "/things/{id}", echo),
    route(
        "PATCH",
        "/things/{id}",
        echo,
        body=Body(type=dict, media_types=(MERGE_PATCH, *JSON.values())),
    ),
    route("POST", "/things", echo, body=Body(type=dict)),
    route("POST", "/things/bulk", echo, body=Body(type=dict, length_max=BULK_BODY_MAX)),
    route("POST", "/things/{id}/pause", echo, body=Body(type=dict, required=False)),
    route("GET", "/fail", fail),
    route("GET", "/away/{how}", lose_the_database),
    route("GET", "/refuse", refuse),
    route("GET", "/refuse-fields", refuse_fields),
)


@pytest.fixture
def app(deps: Deps) -> ASGIApp:
    return build_app(deps, ROUTES)


async def test_every_answer_has_an_id_and_the_safe_headers(http: httpx2.AsyncClient) -> None:
    for path in ("/things/1", "/nothing", "/fail", "/away/refused"):
        headers = (await http.get(path)).headers
        assert len(headers["x-request-id"]) == 36
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 128])
async def test_a_callers_request_id_is_kept(http: httpx2.AsyncClient, given: str) -> None:
    answer = await http.get("/nothing", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", "ü", "a/b", "<script>"])
async def test_an_odd_request_id_is_replaced(http: httpx2.AsyncClient, given: str) -> None:
    headers = [(b"x-request-id", given.encode())]
    answer = await http.get("/things/1", headers=headers)
    assert len(answer.headers["x-request-id"]) == 36


async def test_a_problem_has_all_members_and_its_media_type(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/refuse")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:scheduler-svc:problem:overlap",
        "title": "A run is unfinished",
        "status": 409,
        "detail": "Run 7 is unfinished.",
        "code": "overlap",
        "request_id": answer.headers["x-request-id"],
        "errors": [],
    }


async def test_faults_of_several_kinds_are_invalid(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/refuse-fields")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"] == [
        {"pointer": "/a", "detail": "unknown", "code": "unknown_field"},
        {"pointer": "/b", "detail": "read-only", "code": "read_only"},
    ]


async def test_an_unknown_parameter_is_refused_by_name(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/things/1?limit=1")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    (error,) = answer.json()["errors"]
    assert error["parameter"] == "limit"
    assert "pointer" not in error


async def test_an_error_of_ours_tells_the_log_and_not_the_caller(
    http: httpx2.AsyncClient, records: Records
) -> None:
    answer = await http.get("/fail")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    (failure,) = records.failures
    assert isinstance(failure.error, LookupError)
    assert failure.request_id == answer.headers["x-request-id"]
    assert not failure.unavailable


@pytest.mark.parametrize("how", ["refused", "timeout", "unavailable"])
async def test_a_database_away_is_503_with_the_time_to_wait(
    http: httpx2.AsyncClient, how: str
) -> None:
    answer = await http.get(f"/away/{how}")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "path", ["/nothing", "/things/", "/things/1/", "//things", "/things/a%2Fb"]
)
async def test_what_is_not_there_is_404_and_never_a_redirect(
    http: httpx2.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/things/1", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/things", "POST"),
        ("OPTIONS", "/things", "POST"),
        ("TRACE", "/things/1", "DELETE, GET, HEAD, PATCH"),
        ("BREW", "/fail", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_says_which_are_allowed(
    http: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allow


async def test_a_fixed_path_hides_a_thing_of_that_name_for_its_own_method_only(
    deps: Deps,
) -> None:
    async def fixed(_call: Call) -> Reply:
        return Reply(body="fixed")

    in_any_order = (
        route("POST", "/things/{id}", echo),
        route("GET", "/things/{id}", echo),
        route("POST", "/things/bulk", fixed),
    )
    transport = httpx2.ASGITransport(build_app(deps, in_any_order))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.post("/things/bulk")).json() == "fixed"
        assert (await client.get("/things/bulk")).json()["path"] == {"id": "bulk"}


async def test_head_is_get_without_the_body(app: ASGIApp) -> None:
    async with serving(app) as address:
        got, head = await exchange(address, "GET"), await exchange(address, "HEAD")
    headers, _, body = got.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in headers
    assert head.endswith(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head


async def exchange(address: str, method: str) -> bytes:
    """Ask once, and read what comes until the end of the connection."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"{method} /things/1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_name_with_a_nul_is_not_found(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/things/a%00b")).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/things", {"Content-Type": "application/json"}, 200),
        ("/things", {"Content-Type": "Application/JSON; charset=UTF-8"}, 200),
        ("/things", {"Content-Type": "application/json; charset=latin-1"}, 415),
        ("/things", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("/things", {"Content-Type": "text/json"}, 415),
        ("/things", {"Content-Type": MERGE_PATCH}, 415),
        ("/things", {"Content-Type": ""}, 415),
        ("/things", {}, 415),
        ("/things", {**JSON, "Content-Encoding": "gzip"}, 415),
        ("/things", {**JSON, "Content-Encoding": "identity"}, 200),
    ],
)
async def test_a_body_must_say_that_it_is_json(
    http: httpx2.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await http.post(path, content=b"{}", headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize("media_type", [MERGE_PATCH, "application/json"])
async def test_a_patch_may_come_as_either(http: httpx2.AsyncClient, media_type: str) -> None:
    answer = await http.patch("/things/1", content=b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == 200


async def test_an_optional_body_may_be_left_out(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/things/1/pause")).json()["length"] == 0
    assert (await http.post("/things/1/pause", headers=JSON)).status_code == 200


@pytest.mark.parametrize(
    ("path", "limit"), [("/things", BODY_MAX), ("/things/bulk", BULK_BODY_MAX)]
)
async def test_a_body_over_the_limit_is_refused_before_it_is_read(
    app: ASGIApp, path: str, limit: int
) -> None:
    async with serving(app) as address, httpx2.AsyncClient(base_url=address) as client:
        fits = await client.post(path, content=b" " * limit, headers=JSON)
        assert fits.json()["length"] == limit
        over = await client.post(path, content=b" " * (limit + 1), headers=JSON)
        assert (over.status_code, over.json()["code"]) == (413, "too_large")
        announced = await announce(address, path, limit + 1)
        assert announced.startswith(b"HTTP/1.1 413 ")


async def announce(address: str, path: str, length: int) -> bytes:
    """Promise a body, send none of it, and read the answer."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n")
    writer.close()
    return answer


async def test_a_chunked_body_over_the_limit_is_refused_while_it_is_read(app: ASGIApp) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(4 * BODY_MAX // 65536):
            yield b" " * 65536

    async with serving(app) as address, httpx2.AsyncClient(base_url=address) as client:
        answer = await client.post("/things", content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_caller_that_leaves_is_no_error(app: ASGIApp, records: Records) -> None:
    async with serving(app) as address:
        host, port = address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /things HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            await records.answered.wait()
    assert [record.status for record in records.requests] == [499]
    assert records.failures == []


async def test_each_request_is_told_once_with_its_route(
    http: httpx2.AsyncClient, records: Records
) -> None:
    await http.get("/things/7", headers={"X-Request-ID": "mine"})
    await http.get("/nothing")
    first, second = records.requests
    assert (first.request_id, first.method, first.path) == ("mine", "GET", "/things/7")
    assert (first.route, first.status, first.peer) == ("/things/{id}", 200, "127.0.0.1")
    assert first.duration_ms > 0
    assert (second.route, second.status) == (None, 404)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8080", "127.0.0.1", "127.8.9.10:80", "[::1]", "[::1]:8080"],
)
def test_loopback_names_are_ours(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.test",
        "localhost.example.test",
        "127.0.0.1.example.test",
        "127.1",
        "0.0.0.0",
        "10.0.0.1",
        "::1",
        "[::2]",
        "[127.0.0.1]",
        "localhost@evil.test",
        "localhost:80@evil.test",
        "evil.test#localhost",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not is_loopback(host)


async def test_the_development_profile_answers_to_loopback_names_only(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.get("/things/1", headers={"Host": "rebound.evil.test"})
    assert (answer.status_code, answer.json()["code"]) == (421, "forbidden")
    assert (await http.get("/things/1", headers={"Host": "localhost:8080"})).status_code == 200


async def test_the_production_profile_answers_to_any_name(deps: Deps) -> None:
    app = build_app(msgspec.structs.replace(deps, loopback_only=False), ROUTES)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        assert (await client.get("/things/1")).status_code == 200


async def test_an_answer_is_json_of_exactly_its_length(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/things/1")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content) == {"length": 0, "path": {"id": "1"}}


SAFE = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


async def test_answers_of_every_kind_keep_browsers_in_bounds_and_name_no_software(
    http: httpx2.AsyncClient,
) -> None:
    for path in ("/things/1", "/nothing", "/fail", "/away/refused"):
        headers = (await http.get(path)).headers
        assert {name: headers[name] for name in SAFE} == SAFE
        assert not {"server", "x-powered-by", "via"} & set(headers)
        assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("https://scheduler.test", True),
        ("https://127.0.0.1", True),
        ("http://scheduler.test", False),
        ("https://localhost:8443", False),
        ("https://LOCALHOST", False),
    ],
)
async def test_over_tls_browsers_are_told_to_stay_there_but_for_localhost(
    deps: Deps, base: str, *, said: bool
) -> None:
    app = build_app(msgspec.structs.replace(deps, loopback_only=False), ROUTES)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=base) as http:
        headers = (await http.get("/things/1")).headers
    assert ("strict-transport-security" in headers) is said
