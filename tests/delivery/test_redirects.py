"""Redirects: off by default, each hop judged anew, nothing secret carried to another origin."""

import pytest

from receiver import answer, receiving, silence
from scheduler_svc.domain.egress import EgressRules
from sending import both_loops, call, sending

SECRETS = [
    (b"Authorization", b"Bearer s"),
    (b"Cookie", b"s=1"),
    (b"X-Api-Key", b"s"),
    (b"X-Auth-Token", b"s"),
    (b"webhook-signature", b"v1,s"),
]
KEPT = [(b"Idempotency-Key", b"run"), (b"X-Plain", b"y"), (b"Content-Type", b"application/json")]


@both_loops
async def test_by_default_a_redirect_is_an_answer_like_any_other() -> None:
    async with receiving() as receiver, sending() as sender:
        receiver.default = answer(302, b"", {"Location": "/next", "Refresh": "0;url=/next"})
        exchange = await sender.send(call(receiver.url()))
        assert (exchange.outcome, exchange.status_code) == ("ok", 302)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("status", "method", "followed_by", "with_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (301, "PUT", "PUT", True),
        (302, "DELETE", "DELETE", False),
        (303, "HEAD", "HEAD", False),
        (307, "POST", "POST", True),
        (308, "PATCH", "PATCH", True),
    ],
)
@both_loops
async def test_a_followed_redirect_keeps_or_drops_method_and_body(
    status: int, method: str, followed_by: str, *, with_body: bool
) -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", answer(status, b"", {"Location": "/next?a=b"}))
        headers = [(b"Content-Type", b"application/json")]
        exchange = await sender.send(call(url, method, redirects=1, headers=headers))
        assert (exchange.outcome, exchange.status_code) == ("ok", 200)
        _, second = receiver.requests
        assert (second.method, second.target) == (followed_by, "/next?a=b")
        assert bool(second.body) is with_body
        assert ("content-type" in second.headers) is (followed_by == method)


@both_loops
async def test_secrets_stay_with_the_origin_they_were_meant_for() -> None:
    async with receiving() as receiver, receiving() as other, sending() as sender:
        receiver.on("/same", answer(307, b"", {"Location": "/next"}))
        receiver.on("/away", answer(307, b"", {"Location": other.url("/next")}))
        headers = SECRETS + KEPT
        for path in ("/same", "/away"):
            await sender.send(call(receiver.url(path), redirects=1, headers=headers))
        (same,), (away,) = receiver.of("/next"), other.of("/next")
        names = {name.decode().lower() for name, _ in SECRETS}
        assert names <= set(same.headers)
        assert not names & set(away.headers)
        assert {name.decode().lower() for name, _ in KEPT} <= set(away.headers)


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0x7f000001/",
        "http://user@127.0.0.1/",
        "file:///etc/passwd",
        "http://intranet/",
        "http://127.0.0.1:22/",
        "//[::ffff:10.0.0.1]/",
        "http://a b/",
    ],
)
@both_loops
async def test_a_redirect_to_a_denied_place_is_blocked(location: str) -> None:
    async with receiving() as receiver:
        rules = EgressRules.parse(allow=[f"127.0.0.1:{receiver.port}"])
        async with sending(egress=rules) as sender:
            receiver.default = answer(302, b"", {"Location": location})
            exchange = await sender.send(call(receiver.url(), redirects=5))
            assert (exchange.outcome, exchange.status_code) == ("blocked", None)
            assert len(receiver.requests) == 1


@pytest.mark.parametrize("redirects", [1, 3, 5, 50])
@both_loops
async def test_a_loop_ends_at_the_limit_with_the_last_answer(redirects: int) -> None:
    async with receiving() as receiver, sending() as sender:
        receiver.default = answer(302, b"again", {"Location": "/"})
        exchange = await sender.send(call(receiver.url(), redirects=redirects))
        assert (exchange.status_code, exchange.body) == (302, b"again")
        assert len(receiver.requests) == min(redirects, 5) + 1


@both_loops
async def test_all_hops_share_one_total_time() -> None:
    async with receiving() as receiver, sending() as sender:
        receiver.on("/x", answer(302, b"", {"Location": "/slow"}))
        receiver.on("/slow", silence())
        exchange = await sender.send(call(receiver.url("/x"), redirects=1, total_timeout=0.2))
        assert (exchange.outcome, exchange.status_code) == ("timeout", None)
        assert 150 < exchange.duration_ms < 900


@both_loops
async def test_a_redirect_without_location_is_the_answer() -> None:
    async with receiving() as receiver, sending() as sender:
        receiver.default = answer(302, b"nowhere")
        exchange = await sender.send(call(receiver.url(), redirects=2))
        assert (exchange.outcome, exchange.status_code, exchange.body) == ("ok", 302, b"nowhere")
