"""The Python package where something stands in the way: what is sent again, when, and what not."""

import asyncio
import json
from typing import Any

import pytest

from between import relayed
from clients_support import Opener
from commands import free_port
from receiver import Behaviour, answer, in_turn, receiving, reset
from scheduler_client import Invalid, Retry, TooMany, Unanswered, Unavailable, Unreadable
from scheduler_client.asks import Answer, anything, create_job
from scheduler_client.retrying import Lost, conversation

SPEC: Any = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}
PROBLEM = {"Content-Type": "application/problem+json"}


def refusal(status: int, code: str, **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return answer(status, b'{"code": "%b", "detail": "no"}' % code.encode(), PROBLEM | named)


async def test_a_create_whose_answer_was_lost_is_one_job(address: str, asking: Opener) -> None:
    async with receiving() as between:
        between.on("/jobs", in_turn(relayed(address, lost=True), relayed(address)))
        made = await asking(between.url(""))("create_job", {**SPEC, "name": "once"})
        first, second = between.requests
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        assert first.body == second.body
    everything = await asking(address).first(9, "jobs")
    assert [job.id for job in everything] == [made.id]


async def test_a_trigger_whose_answer_was_lost_is_one_run(address: str, asking: Opener) -> None:
    ask = asking(address)
    await ask("create_job", {**SPEC, "name": "a", "overlap": "allow"})
    async with receiving() as between:
        lossy = in_turn(relayed(address, lost=True), relayed(address, lost=True), relayed(address))
        between.on("/jobs/a/trigger", lossy)
        run = await asking(between.url(""))("trigger_job", "a")
        assert len(between.requests) == 3
    assert [one.id for one in await ask.first(9, "runs")] == [run.id]


async def test_a_delete_whose_answer_was_lost_is_done(address: str, asking: Opener) -> None:
    await asking(address)("create_job", {**SPEC, "name": "a"})
    async with receiving() as between:
        between.on("/jobs/a", in_turn(relayed(address, lost=True), relayed(address)))
        assert await asking(between.url(""))("delete_job", "a") is None
        assert len(between.requests) == 2
    assert await asking(address).first(9, "jobs") == []


async def test_a_conditional_change_whose_answer_was_lost_is_not_sent_again(
    address: str, asking: Opener
) -> None:
    made = await asking(address)("create_job", {**SPEC, "name": "a"})
    async with receiving() as between:
        between.on("/jobs/a", relayed(address, lost=True))
        ask = asking(between.url(""))
        with pytest.raises(Unanswered, match="not known"):
            await ask("patch_job", "a", {"priority": 3}, if_match=made)
        assert len(between.requests) == 1
        between.on("/jobs/a", refusal(503, "unavailable", Retry_After="1"))
        with pytest.raises(Unavailable):
            await ask("patch_job", "a", {"priority": 3}, if_match=made)
        assert len(between.requests) == 2
    assert (await asking(address)("get_job", "a")).priority == 3


async def test_retry_after_is_waited_for(address: str, asking: Opener) -> None:
    async with receiving() as between:
        limited = refusal(429, "rate_limited", Retry_After="1")
        between.on("/jobs", in_turn(limited, relayed(address)))
        await asking(between.url(""))("create_job", SPEC)
        first, second = between.requests
        assert second.at - first.at >= 1


async def test_a_service_that_is_away_for_a_while_is_asked_again(
    address: str, asking: Opener
) -> None:
    async with receiving() as between:
        html = answer(502, b"<html>Bad Gateway", {"Content-Type": "text/html"})
        busy = refusal(409, "idempotency_in_progress", Retry_After="0")
        away = refusal(503, "unavailable", Retry_After="0")
        between.on("/jobs", in_turn(html, reset(), away, busy, relayed(address)))
        await asking(between.url(""))("create_job", SPEC)
        assert len(between.requests) == 5
        assert len({one.headers["idempotency-key"] for one in between.requests}) == 1


async def test_too_long_a_wait_is_told_and_not_waited_for(asking: Opener) -> None:
    async with receiving() as between:
        between.on("/jobs", refusal(429, "rate_limited", Retry_After="3600"))
        with pytest.raises(TooMany) as caught:
            await asking(between.url(""))("create_job", SPEC)
        assert caught.value.retry_after == 3600
        between.on("/jobs", refusal(429, "quota_exceeded"))
        with pytest.raises(TooMany) as caught:
            await asking(between.url(""))("create_job", SPEC)
        assert (caught.value.code, len(between.requests)) == ("quota_exceeded", 2)


async def test_who_is_never_there_is_given_up_after_all_attempts(asking: Opener) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unanswered, match="3 attempts"):
        await asking(url, retry=Retry(attempts=3, initial=0.001))("get_job", "a")
    async with receiving() as between:
        between.on("/runs/x", refusal(503, "unavailable"))
        with pytest.raises(Unavailable):
            await asking(between.url(""), retry=Retry(attempts=2, initial=0))("get_run", "x")
        assert len(between.requests) == 2


async def test_what_is_refused_for_good_is_asked_once(asking: Opener) -> None:
    async with receiving() as between:
        between.on("/jobs", refusal(422, "invalid"))
        with pytest.raises(Invalid):
            await asking(between.url(""))("create_job", SPEC)
        between.on("/x", answer(302, b"", {"Location": "http://10.0.0.1/"}))
        with pytest.raises(Unreadable, match="redirects"):
            await asking(between.url(""))("request", "GET", "/x")
        between.on("/x", answer(200, b"<html>", {"Content-Type": "text/html"}))
        with pytest.raises(Unreadable, match="no scheduler-svc"):
            await asking(between.url(""))("request", "GET", "/x")
        between.on("/x", answer(200, b"{", {"Content-Type": "application/json"}))
        with pytest.raises(Unreadable, match="not JSON"):
            await asking(between.url(""))("request", "GET", "/x")
        assert len(between.requests) == 4


async def test_the_key_and_the_namespace_go_along_and_a_report_has_only_its_token(
    asking: Opener,
) -> None:
    async with receiving() as between:
        run = {"id": "r", "job_id": "j", "trigger": "manual", "status": "succeeded"}
        text = json.dumps(run | {"scheduled_for": "2026-01-05T09:00:00Z"}).encode()
        between.default = answer(200, text, {"Content-Type": "application/json"})
        ask = asking(between.url("/base/"), key="sk_x", namespace="n")
        await ask("get_run", "a/b")
        await ask("complete_run", "r", "token", succeeded=False, detail="x")
        await ask("heartbeat_run", "r", "token")
        plain, report, _ = between.requests
        for path in ("@other.example/", "http://other.example/", ""):
            with pytest.raises(ValueError, match="no path"):
                await ask("request", "GET", path)
    assert plain.target == "/base/runs/a%2Fb"
    assert plain.headers["authorization"] == "Bearer sk_x"
    assert plain.headers["scheduler-namespace"] == "n"
    assert report.headers["authorization"] == "Bearer token"
    assert "scheduler-namespace" not in report.headers
    assert report.body == b'{"status": "failed", "detail": "x"}'


async def test_a_budget_that_is_used_up_is_waited_for_before_anything_is_sent(
    asking: Opener,
) -> None:
    async with receiving() as between:
        job = {"RateLimit-Policy": '"reads";q=120;w=60', "RateLimit": '"reads";r=0;t=1'}
        between.default = answer(200, b"{}", {"Content-Type": "application/json"} | job)
        ask = asking(between.url(""))
        await ask("request", "GET", "/forecast")
        told = ask.scheduler.limits["reads"]
        assert (told.remaining, told.reset_seconds) == (0, 1)
        await ask("request", "GET", "/forecast")
        first, second = between.requests
    assert second.at - first.at >= 0.4  # 120 a minute: half a second each


def conversed(ask: Any, *answers: Answer | Lost) -> list[Any]:
    """Play a conversation; return its steps, where what is not a wait is True."""
    talk, said = conversation(ask, Retry(attempts=3), {}), list(answers)
    steps: list[Any] = []
    given: Answer | Lost | None = None
    while True:
        try:
            step = talk.send(given)
        except (StopIteration, Unanswered, Unavailable) as end:
            return [*steps, type(end).__name__]
        steps.append(step if isinstance(step, float) else True)
        given = None if isinstance(step, float) else said.pop(0)


def test_only_what_may_be_repeated_is_repeated() -> None:
    sent, unsent = Lost(OSError("x"), sent=True), Lost(OSError("x"), sent=False)
    post = anything("POST", "/jobs/bulk-actions", {}, {}, {})
    keyed = anything("POST", "/x", {}, {}, {"idempotency-KEY": "k"})
    away, done = Answer(503, None, {}), Answer(200, {}, {})
    assert conversed(post, sent) == [True, "Unanswered"]
    assert conversed(post, away) == [True, "Unavailable"]
    assert conversed(post, unsent, done)[-1] == "StopIteration"
    assert conversed(keyed, sent, away, done)[-1] == "StopIteration"
    assert conversed(keyed, sent, away, away)[-1] == "Unavailable"
    assert conversed(create_job({}, None, dry_run=False), sent, sent, sent)[-1] == "Unanswered"


def test_a_date_in_retry_after_is_a_time_to_wait() -> None:
    ask = anything("GET", "/x", {}, {}, {})
    past = Answer(503, None, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    far = Answer(503, None, {"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"})
    nonsense = Answer(503, None, {"retry-after": "soon"})
    assert len(conversed(ask, past, nonsense, past)) == 6
    assert conversed(ask, far) == [True, "Unavailable"]


async def test_calls_at_once_share_one(address: str, asking: Opener) -> None:
    ask = asking(address)
    made = await asyncio.gather(*(ask("create_job", SPEC) for _ in range(20)))
    assert len({job.id for job in made}) == 20
