"""What other people's libraries make of a request that a real receiver got."""

import base64
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cloudevents.v1.http import from_http
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from standardwebhooks import Webhook, WebhookVerificationError

from clock import HandClock
from receiver import Received, Receiver, answer, receiving
from rig import Rig, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.runs import Attempt
from scheduler_svc.domain.secrecy import SIGNING, place_of
from scheduler_svc.engine import pace
from scheduler_svc.engine.secrets import KnownSecrets, Source
from scheduler_svc.store import signing_secrets
from scheduler_svc.store.pool import Pool, open_pool
from sealing import OTHER_KEY, PUBLIC_URL, RING, keep_signing_secret, ring_of

EVERY = {"every": "1h"}
BODIES: list[dict[str, Any]] = [
    {"body": {"text": "Grüße, 世界"}},
    {"body": None},
    {"body_base64": base64.b64encode("bytes: ä".encode()).decode()},
]


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    """A replica under the present time, which signatures are checked against."""
    clock = HandClock(time.time_ns() // 1_000_000)
    async with rigged(engine_pool, receiver, clock=clock) as built:
        yield built


async def fire(rig: Rig, **target: Any) -> Received:
    """Store a job that is due now, send it, and return what the receiver got."""
    await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms, target=target)
    await rig.work()
    return rig.receiver.requests[-1]


def verify(received: Received, secret: bytes) -> None:
    """Verify as a receiver does that knows one secret."""
    text = "whsec_" + base64.b64encode(secret).decode()
    Webhook(text).verify(received.body, received.headers, json_parse=False)


@pytest.mark.parametrize("target", BODIES)
async def test_standardwebhooks_accepts_what_the_receiver_got(
    rig: Rig, target: dict[str, Any]
) -> None:
    _, secret = await keep_signing_secret(rig.parts.pool)
    received = await fire(rig, **target)
    verify(received, secret)
    with pytest.raises(WebhookVerificationError):
        verify(received, bytes(32))
    changed = msgspec.convert({**received.__dict__, "body": received.body + b" "}, dict)
    with pytest.raises(WebhookVerificationError):
        verify(Received(**changed), secret)


async def test_while_a_secret_rotates_old_and_new_verify_and_then_the_new_alone(rig: Rig) -> None:
    pool = rig.parts.pool
    old_id, old = await keep_signing_secret(pool)
    _, new = await keep_signing_secret(pool)
    now = instant_at(rig.clock.ms)
    async with pool.acquire() as conn:
        await signing_secrets.expire(
            conn, "default", old_id, at=now + timedelta(minutes=1), now=now
        )
    during = await fire(rig)
    verify(during, old)
    verify(during, new)
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    rig.parts.secrets.forget("default")
    await rig.pass_time(61_000)
    after = await fire(rig)
    verify(after, new)
    with pytest.raises(WebhookVerificationError):
        verify(after, old)


async def test_an_overlap_ends_at_its_instant_though_nobody_says_so(rig: Rig) -> None:
    pool = rig.parts.pool
    old_id, _ = await keep_signing_secret(pool)
    now = instant_at(rig.clock.ms)
    async with pool.acquire() as conn:
        await signing_secrets.expire(
            conn, "default", old_id, at=now + timedelta(seconds=10), now=now
        )
    assert "webhook-signature" in (await fire(rig)).headers
    await rig.pass_time(10_000)
    assert "webhook-signature" not in (await fire(rig)).headers


async def test_a_retry_has_the_same_id_another_timestamp_and_a_signature_of_its_own(
    rig: Rig,
) -> None:
    _, secret = await keep_signing_secret(rig.parts.pool)
    rig.receiver.default = answer(503)
    await rig.job(
        schedule=EVERY,
        at_ms=rig.clock.ms,
        created_ms=rig.clock.ms,
        retry={"jitter": "none", "initial_delay": "2s"},
    )
    await rig.work()
    await rig.pass_time(3000)
    await rig.work()
    first, second = rig.receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    for received in (first, second):
        verify(received, secret)


async def test_a_key_pair_signs_too_and_its_public_half_verifies(rig: Rig) -> None:
    _, private = await keep_signing_secret(rig.parts.pool, kind="ed25519")
    _, secret = await keep_signing_secret(rig.parts.pool)
    received = await fire(rig, body={"a": 1})
    verify(received, secret)
    made = dict(one.split(",", 1) for one in received.headers["webhook-signature"].split(" "))
    signed = ".".join(
        [received.headers["webhook-id"], received.headers["webhook-timestamp"], '{"a":1}']
    )
    public = Ed25519PrivateKey.from_private_bytes(private).public_key()
    public.verify(base64.b64decode(made["v1a"]), signed.encode())


async def test_a_secret_of_one_host_signs_for_that_host_alone(rig: Rig) -> None:
    await keep_signing_secret(rig.parts.pool, host="hooks.example.com")
    assert "webhook-signature" not in (await fire(rig)).headers
    _, secret = await keep_signing_secret(rig.parts.pool, host="127.0.0.1")
    rig.parts.secrets.forget("default")
    received = await fire(rig)
    verify(received, secret)
    assert " " not in received.headers["webhook-signature"]


async def test_an_alert_is_signed_by_the_secrets_of_the_namespace_it_tells_of(rig: Rig) -> None:
    _, secret = await keep_signing_secret(rig.parts.pool)
    alerts = {"url": rig.receiver.url("/alerts"), "every_failure": True}
    rig.receiver.on("/", answer(404))
    await rig.job(
        schedule=EVERY,
        at_ms=rig.clock.ms,
        created_ms=rig.clock.ms,
        alerts=alerts,
        labels={"a": "{{"},
    )
    await rig.work()
    await rig.work()
    (told,) = rig.receiver.of("/alerts")
    Webhook(base64.b64encode(secret).decode()).verify(told.body, dict(told.headers))


async def test_sign_false_never_signs_and_true_without_a_secret_goes_unsigned(rig: Rig) -> None:
    assert "webhook-signature" not in (await fire(rig, sign=True)).headers
    await keep_signing_secret(rig.parts.pool)
    rig.parts.secrets.forget("default")
    assert "webhook-signature" not in (await fire(rig, sign=False)).headers
    assert "webhook-signature" in (await fire(rig, sign=True)).headers


async def test_nothing_goes_unsigned_because_a_key_is_missing(rig: Rig) -> None:
    await keep_signing_secret(rig.parts.pool, ring=ring_of(OTHER_KEY))
    job = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    await rig.work()
    assert await rig.said(job) == [("failed", "blocked")]
    attempt = msgspec.json.decode((await rig.run(job))["attempts"][0], type=Attempt)
    assert ring_of(OTHER_KEY).newest in str(attempt.error)
    assert rig.receiver.requests == []


async def test_a_signature_stays_with_its_origin_and_with_its_body(rig: Rig) -> None:
    await keep_signing_secret(rig.parts.pool)
    async with receiving() as other:
        rig.receiver.on("/away", answer(307, b"", {"Location": other.url("/")}))
        rig.receiver.on("/get", answer(303, b"", {"Location": "/got"}))
        await fire(rig, url=rig.receiver.url("/away"), redirects=1)
        await fire(rig, url=rig.receiver.url("/get"), redirects=1, body={"a": 1})
        (away,) = other.requests
    got = rig.receiver.requests[-1]
    assert (got.path, got.method) == ("/got", "GET")
    for followed in (away, got):
        assert "webhook-signature" not in followed.headers


async def test_cloudevents_reads_our_event_from_headers_and_body(rig: Rig) -> None:
    job = await rig.job(
        schedule=EVERY,
        at_ms=rig.clock.ms,
        created_ms=rig.clock.ms,
        name="weekly",
        target={
            "format": "cloudevents",
            "body": {"a": [1, "ü"]},
            "headers": {"ce-shard": "{{run.attempt}}", "X-Plain": "p"},
        },
    )
    await rig.work()
    (received,) = rig.receiver.requests
    event = from_http(received.headers, received.body)
    run = await rig.run(job)
    assert event["id"] == str(run["id"])
    assert event["source"] == f"{PUBLIC_URL}/jobs/{job}"
    assert event["type"] == "scheduler-svc.run"
    assert event["specversion"] == "1.0"
    assert event["subject"] == "weekly"
    assert datetime.fromisoformat(event["time"]) == run["scheduled_for"].astimezone(UTC)
    assert (event["shard"], event["datacontenttype"]) == ("1", "application/json")
    assert event.data == {"a": [1, "ü"]}


async def test_a_job_may_name_type_source_and_subject_of_its_events(rig: Rig) -> None:
    received = await fire(
        rig,
        format="cloudevents",
        headers={"ce-type": "com.example.t", "CE-Source": "urn:s", "ce-subject": "{{run.trigger}}"},
    )
    event = from_http(received.headers, received.body)
    assert (event["type"], event["source"], event["subject"]) == (
        "com.example.t",
        "urn:s",
        "schedule",
    )


async def test_opentelemetry_takes_up_our_trace(rig: Rig) -> None:
    received = await fire(rig)
    context = TraceContextTextMapPropagator().extract(received.headers)
    span = get_current_span(context).get_span_context()
    assert span.is_valid
    assert span.is_remote
    assert f"{span.trace_id:032x}-{span.span_id:016x}" in received.headers["traceparent"]
    assert f"{span.trace_id:032x}" == received.headers["webhook-id"].replace("-", "")


async def test_who_signs_is_at_hand_before_the_instant_of_what_is_claimed_ahead(rig: Rig) -> None:
    at_ms = rig.clock.ms + 500
    await rig.job(schedule=EVERY, at_ms=at_ms, created_ms=rig.clock.ms)
    await pace.one_pass(rig.parts, rig.pace)
    assert len(rig.held()) == 1
    assert rig.parts.secrets.signers_at_hand("default") == ()


async def test_a_claim_goes_on_where_who_signs_can_not_be_read(rig: Rig, dsn: str) -> None:
    away = await open_pool(dsn, application_name="cut", size_max=1)
    away.terminate()
    source = Source(pool=away, ring=None, now_ms=rig.clock.now_ms, monotonic=rig.clock.monotonic)
    rig.parts = msgspec.structs.replace(rig.parts, secrets=KnownSecrets(source))
    await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    await pace.one_pass(rig.parts, rig.pace)
    assert len(rig.held()) == 1
    assert rig.parts.secrets.signers_at_hand("default") is None


async def test_a_claim_goes_on_where_who_signs_can_not_be_understood(rig: Rig) -> None:
    """It is a matter of that namespace's attempts, and of nobody's pass."""
    kept, _ = await keep_signing_secret(rig.parts.pool)
    await rig.parts.pool.execute(
        "UPDATE signing_secrets SET type = 'ed25519', sealed = $2, public_key = 'p' WHERE id = $1",
        kept,
        RING.seal(b"too short", place_of("default", SIGNING, str(kept))),
    )
    job = await rig.job(schedule=EVERY, at_ms=rig.clock.ms, created_ms=rig.clock.ms)
    await pace.one_pass(rig.parts, rig.pace)
    assert len(rig.held()) == 1
    await rig.send()
    assert (await rig.run(job))["status"] == "due"
