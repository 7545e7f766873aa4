"""What a receiver gets of secrets, templates and tokens, and what becomes of a run without them."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import jwt
import msgspec
import pytest

from clock import HandClock
from factories import waiting_run
from receiver import Received, Receiver, answer, receiving
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.api import identity
from scheduler_svc.delivery.identity import new_key
from scheduler_svc.delivery.signing import Signer
from scheduler_svc.domain.jobs import Target
from scheduler_svc.domain.runs import Attempt, Overrides
from scheduler_svc.engine import hear, upkeep
from scheduler_svc.engine.secrets import KnownSecrets, Source
from scheduler_svc.store import secrets
from scheduler_svc.store.pool import Pool, open_pool
from sealing import (
    OTHER_KEY,
    PUBLIC_URL,
    RING,
    keep_secret,
    keep_signing_secret,
    ring_of,
    sealed_target,
)

EVERY = {"every": "1h"}
ATTEMPT = msgspec.json.Decoder(Attempt)


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    """A replica under the present time, which tokens and signatures are checked against."""
    clock = HandClock(time.time_ns() // 1_000_000)
    async with rigged(engine_pool, receiver, clock=clock) as built:
        yield built


async def fire(rig: Rig, **changes: Any) -> UUID:
    """Store a job that is due now and send it; return its id."""
    job = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms, **changes)
    await rig.work()
    return job


async def last_attempt(rig: Rig, job: UUID) -> Attempt:
    row = (await rig.runs(job))[-1]
    return ATTEMPT.decode(row["attempts"][-1])


def only(rig: Rig) -> Received:
    (received,) = rig.receiver.requests
    return received


async def test_a_secret_header_is_sealed_at_rest_and_opened_for_the_target(rig: Rig) -> None:
    job = await fire(rig, target={"headers": {"X-Api-Key": "canary-key", "X-Plain": "p"}})
    stored = await rig.parts.pool.fetchval("SELECT definition FROM jobs WHERE id = $1", job)
    assert "canary-key" not in stored
    assert only(rig).headers["x-api-key"] == "canary-key"
    assert only(rig).headers["x-plain"] == "p"


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        (
            {"type": "basic", "username": "me", "password": "päss:word"},
            "Basic " + base64.b64encode("me:päss:word".encode()).decode(),
        ),
        ({"type": "bearer", "token": "canary-token"}, "Bearer canary-token"),
    ],
)
async def test_auth_becomes_the_header_authorization(
    rig: Rig, auth: dict[str, str], sent: str
) -> None:
    await fire(rig, target={"auth": auth})
    assert only(rig).headers["authorization"] == sent


async def test_templates_are_filled_for_each_attempt(rig: Rig) -> None:
    rig.receiver.default = answer(503)
    job = await fire(
        rig,
        name="weekly",
        labels={"team": 'a "b"\n&c'},
        target={
            "url": rig.receiver.url("/in?run={{run.id}}&team={{job.labels.team}}"),
            "headers": {"X-Attempt": "{{run.attempt}}/{{run.trigger}}"},
            "body": {"day": "{{run.scheduled_for | date '%Y'}}", "t": "<{{job.labels.team}}>"},
        },
        retry={"jitter": "none", "initial_delay": "1s"},
    )
    await rig.pass_time(2 * SECOND)
    await rig.work()
    first, second = rig.receiver.requests
    run = await rig.run(job)
    assert first.target == f"/in?run={run['id']}&team=a%20%22b%22%0A%26c"
    assert [one.headers["x-attempt"] for one in (first, second)] == ["1/schedule", "2/schedule"]
    assert msgspec.json.decode(first.body) == {
        "day": str(run["scheduled_for"].year),
        "t": '<a "b"\n&c>',
    }


async def test_a_named_secret_goes_into_header_and_query(rig: Rig) -> None:
    await keep_secret(rig.parts.pool, "token", "s/e c+r&e=t")
    await fire(
        rig,
        target={
            "url": rig.receiver.url("/in?k={{secret:token}}"),
            "headers": {"Authorization": "Bearer {{ secret:token }}"},
        },
    )
    assert only(rig).target == "/in?k=s%2Fe%20c%2Br%26e%3Dt"
    assert only(rig).headers["authorization"] == "Bearer s/e c+r&e=t"


async def test_a_secret_that_is_gone_blocks_the_run_and_is_named(rig: Rig) -> None:
    await keep_secret(rig.parts.pool, "token", "canary")
    target = {"headers": {"X-Auth": "{{secret:token}}"}}
    await fire(rig, target=target)
    async with rig.parts.pool.acquire() as conn:
        await secrets.delete_secret(conn, "default", "token")
    rig.parts.secrets.forget("default")
    job = await fire(rig, target=target)
    assert await rig.said(job) == [("failed", "blocked")]
    attempt = await last_attempt(rig, job)
    assert (attempt.outcome, attempt.error) == ("blocked", "the secret 'token' is not there")
    assert len(rig.receiver.requests) == 1


async def test_what_was_read_of_secrets_counts_until_a_notice_or_its_age(rig: Rig) -> None:
    target = {"headers": {"X-Auth": "{{secret:token}}"}}
    await keep_secret(rig.parts.pool, "token", "first")
    await fire(rig, target=target)
    await keep_secret(rig.parts.pool, "token", "second")
    await fire(rig, target=target)
    await rig.pass_time(MINUTE)
    await fire(rig, target=target)
    assert [one.headers["x-auth"] for one in rig.receiver.requests] == ["first", "first", "second"]


@pytest.mark.parametrize(
    ("word", "argument", "heard"),
    [
        ("secrets", "default", True),
        ("secrets", "other", False),
        ("wake", "0", True),
        ("wake", "1767600000000", False),
    ],
)
async def test_a_notice_makes_it_read_anew_what_it_names(
    rig: Rig, word: str, argument: str, *, heard: bool
) -> None:
    target = {"headers": {"X-Auth": "{{secret:token}}"}}
    await keep_secret(rig.parts.pool, "token", "first")
    before = await fire(rig, target=target)
    await keep_secret(rig.parts.pool, "token", "second")
    await keep_signing_secret(rig.parts.pool)
    async with asyncio.TaskGroup() as tasks:
        hear.hearer(rig.parts, rig.pace, rig.outbox, tasks)(word, argument)
    assert await fire(rig, target=target) != before
    last = rig.receiver.requests[-1].headers
    assert last["x-auth"] == ("second" if heard else "first")
    assert ("webhook-signature" in last) is heard


async def test_a_value_that_no_header_can_hold_blocks_the_run(rig: Rig) -> None:
    await keep_secret(rig.parts.pool, "token", "two\r\nX-Smuggled: lines")
    job = await fire(rig, target={"headers": {"X-Auth": "{{secret:token}}"}})
    assert await rig.said(job) == [("failed", "blocked")]
    error = (await last_attempt(rig, job)).error
    assert error == "the header 'x-auth' holds a control or non-ASCII character once filled in"
    assert rig.receiver.requests == []


async def test_an_address_head_or_body_too_long_once_filled_in_blocks_the_run(rig: Rig) -> None:
    await keep_secret(rig.parts.pool, "long", "x" * 2083)
    job = await fire(rig, target={"url": rig.receiver.url("/?k={{secret:long}}")})
    assert "longer than 2083" in str((await last_attempt(rig, job)).error)
    headers = {f"X-{n}": "{{secret:long}}" for n in range(9)}
    job = await fire(rig, target={"headers": headers})
    assert "the headers take more than" in str((await last_attempt(rig, job)).error)
    body = {"a": "{{job.labels.long}}" * 13_000}
    job = await fire(rig, labels={"long": "x" * 256}, target={"body": body})
    assert "the body is longer than" in str((await last_attempt(rig, job)).error)
    assert rig.receiver.requests == []


async def test_a_job_whose_key_is_missing_is_blocked_and_the_key_named(rig: Rig) -> None:
    target = {
        "url": rig.receiver.url("/"),
        "headers": {"Authorization": "Bearer canary"},
        "body": msgspec.Raw(b"null"),
    }
    job = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    other = ring_of(OTHER_KEY)
    sealed = sealed_target(job, msgspec.convert(target, Target), ring=other)
    await rig.parts.pool.execute(
        """UPDATE jobs SET definition = jsonb_set(definition::jsonb, '{target}', $2::jsonb)::json
        WHERE id = $1""",
        job,
        msgspec.json.encode(sealed).decode(),
    )
    await rig.work()
    assert await rig.said(job) == [("failed", "blocked")]
    assert other.newest in str((await last_attempt(rig, job)).error)
    assert await rig.state(job) == "active"


async def test_whatever_of_an_attempt_has_no_key_blocks_it_and_is_named(rig: Rig) -> None:
    other = ring_of(OTHER_KEY)
    await keep_secret(rig.parts.pool, "token", "canary", ring=other)
    async with rig.parts.pool.acquire() as conn:
        await identity.insert(conn, other, new_key(), now_ms=rig.clock.ms)
    named = await fire(rig, target={"headers": {"X-Auth": "{{secret:token}}"}})
    oidc = await fire(rig, target={"auth": {"type": "oidc", "audience": "a"}})
    given = await rig.job(schedule=EVERY)
    sealed = other.seal("canary", f"default\0job {given}\0headers/x-a-key")
    overrides = Overrides(headers={"X-A-Key": sealed})
    await waiting_run(rig.parts.pool, given, at_ms=rig.clock.ms, overrides=overrides)
    await rig.work()
    missing = f"a secret is sealed with the key {other.newest}, which is not in the key ring"
    assert [str((await last_attempt(rig, job)).error) for job in (named, oidc, given)] == [
        f"{missing}: the secret 'token'",
        f"{missing}: the key of identity tokens",
        missing,
    ]
    assert rig.receiver.requests == []


async def test_a_value_moved_to_another_job_does_not_open(rig: Rig) -> None:
    target = {"headers": {"Authorization": "Bearer canary"}}
    first = await rig.job(schedule=EVERY, target=target)
    second = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    await rig.parts.pool.execute(
        "UPDATE jobs SET definition = (SELECT definition FROM jobs WHERE id = $1) WHERE id = $2",
        first,
        second,
    )
    await rig.work()
    assert "moved from where it belongs" in str((await last_attempt(rig, second)).error)


async def test_what_an_older_version_stored_unsealed_is_sent_as_it_was(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    await rig.parts.pool.execute(
        """UPDATE jobs SET definition = jsonb_set(jsonb_set(definition::jsonb,
        '{target,headers}', '{"Authorization": "Bearer old"}'),
        '{target,body}', '{"a": "{{#each}} and {{run.id"}')::json WHERE id = $1""",
        job,
    )
    await rig.work()
    assert only(rig).headers["authorization"] == "Bearer old"
    assert msgspec.json.decode(only(rig).body) == {"a": "{{#each}} and {{run.id"}


async def test_what_a_trigger_gives_is_opened_filled_and_kept_from_the_record(rig: Rig) -> None:
    rig.receiver.default = answer(500, b'{"you sent": "canary-of-a-trigger"}', {"X": "v"})
    job = await rig.job(schedule=EVERY, target={"headers": {"X-Api-Key": "canary-of-the-job"}})
    place = f"default\0job {job}\0headers/x-api-key"
    overrides = Overrides(
        headers={"X-Api-Key": RING.seal("canary-of-a-trigger", place), "X-Run": "{{run.trigger}}"},
        body='"{{run.attempt}}"',
    )
    await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms, overrides=overrides)
    await rig.work()
    received = only(rig)
    assert received.headers["x-api-key"] == "canary-of-a-trigger"
    assert (received.headers["x-run"], received.body) == ("manual", b'"1"')
    attempt = await last_attempt(rig, job)
    assert attempt.response is not None
    assert attempt.response.body == '{"you sent": "***"}'


async def test_what_a_target_gives_back_of_its_secrets_is_masked(rig: Rig) -> None:
    await keep_secret(rig.parts.pool, "token", 'named "canary"')
    echoed = (
        b'{"a": "Bearer header-canary", "b": "named \\"canary\\"", "c": "named%20%22canary%22"}'
    )
    rig.receiver.default = answer(200, echoed, {"X-Echo": "header-canary", "X-Other": "kept"})
    job = await fire(
        rig,
        target={
            "url": rig.receiver.url("/?q={{secret:token}}"),
            "headers": {"Authorization": "Bearer header-canary"},
        },
    )
    response = (await last_attempt(rig, job)).response
    assert response is not None
    assert response.body == '{"a": "***", "b": "***", "c": "***"}'
    assert (response.headers["x-echo"], response.headers["x-other"]) == ("***", "kept")


async def test_a_header_with_a_secret_does_not_follow_to_another_origin(rig: Rig) -> None:
    await keep_secret(rig.parts.pool, "token", "canary-secret")
    async with receiving() as other:
        rig.receiver.default = answer(307, b"", {"Location": other.url("/next")})
        await fire(
            rig,
            target={
                "redirects": 1,
                "headers": {"X-Mine": "{{secret:token}}", "X-Run": "{{run.id}}"},
                "auth": {"type": "bearer", "token": "canary-token"},
            },
        )
        (followed,) = other.requests
    assert only(rig).headers["x-mine"] == "canary-secret"
    assert "x-run" in followed.headers
    assert not {"x-mine", "authorization"} & set(followed.headers)


async def test_an_identity_token_is_one_that_a_target_can_check(rig: Rig) -> None:
    made = new_key()
    async with rig.parts.pool.acquire() as conn:
        await identity.insert(conn, RING, made, now_ms=rig.clock.ms)
    auth = {"type": "oidc", "audience": "https://target.example"}
    job = await fire(rig, name="billing", target={"auth": auth})
    await rig.pass_time(HOUR)
    await rig.work()
    first, second = (one.headers["authorization"] for one in rig.receiver.requests)
    key = jwt.PyJWK(msgspec.json.decode(made.public))
    claims = jwt.decode(
        first.removeprefix("Bearer "),
        key,
        algorithms=["RS256"],
        audience="https://target.example",
        issuer=PUBLIC_URL,
    )
    assert (claims["sub"], claims["job_name"]) == (f"job:{job}", "billing")
    assert claims["exp"] - claims["iat"] == 600
    assert jwt.get_unverified_header(first.removeprefix("Bearer "))["kid"] == made.id
    assert first != second


async def test_a_token_serves_many_attempts_until_it_is_near_its_end(rig: Rig) -> None:
    async with rig.parts.pool.acquire() as conn:
        await identity.insert(conn, RING, new_key(), now_ms=rig.clock.ms)
    auth = {"type": "oidc", "audience": "a"}
    await rig.job(schedule={"every": "4m"}, target={"auth": auth})
    for _ in range(3):
        await rig.pass_time(4 * MINUTE)
        await rig.work()
    tokens = [one.headers["authorization"] for one in rig.receiver.requests]
    assert len(tokens) == 3
    assert tokens[0] == tokens[1] != tokens[2]


async def test_without_its_key_a_token_blocks_the_run(rig: Rig) -> None:
    job = await fire(rig, target={"auth": {"type": "oidc", "audience": "a"}})
    assert (await last_attempt(rig, job)).error == "there is no key for identity tokens"


async def test_a_job_with_nothing_of_this_kind_goes_the_short_way(rig: Rig) -> None:
    job = await fire(rig, target={"headers": {"X-Plain": "{"}, "body": {"a": "}}"}})
    known = rig.parts.jobs.get(job, 1)
    assert known is not None
    assert known.prepared.plain


async def test_what_holds_opened_secrets_shows_none_in_its_text(rig: Rig) -> None:
    job = await fire(rig, target={"headers": {"X-Api-Key": "canary"}})
    known = rig.parts.jobs.get(job, 1)
    assert known is not None
    signer = Signer(None, None, b"canary")
    for text in (repr(known), f"{known.prepared}", repr(signer)):
        assert "canary" not in text


async def test_what_can_not_be_read_now_is_given_back_unsent_and_goes_out_later(
    rig: Rig, dsn: str
) -> None:
    job = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    await rig.tick()
    whole = rig.parts
    away = await open_pool(dsn, application_name="cut", size_max=1)
    away.terminate()
    source = Source(pool=away, ring=RING, now_ms=rig.clock.now_ms, monotonic=rig.clock.monotonic)
    rig.parts = msgspec.structs.replace(whole, secrets=KnownSecrets(source))
    await rig.send()
    rig.parts = whole
    assert await rig.said(job) == [("running", None)]
    assert rig.receiver.requests == []
    await upkeep.give_back_lapsed(rig.parts, rig.outbox)
    await rig.work()
    row = await rig.run(job)
    assert (row["status"], row["attempt_count"], len(row["attempts"])) == ("succeeded", 1, 1)
