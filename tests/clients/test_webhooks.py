"""What is believed of a request: vectors made with openssl, and by another library."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from scheduler_client import Delivery, NotVerified, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw=="
OTHER = "whsec_" + base64.b64encode(b"another secret of thirty-two b..").decode()
BODY = b'{"test": 2432232314}'
AT = 1614265330
# printf '%s' 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' |
#   openssl dgst -sha256 -mac HMAC -macopt hexkey:31f290f6... -binary | base64
RIGHT = "v1,/Xy7FLfFISa1TZH7WLT+0x/orG5MlcutAFOpVan3/00="
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(AT),
    "WEBHOOK-SIGNATURE": RIGHT,
    "Scheduler-Attempt": "2",
    "Scheduler-Scheduled-For": "2026-01-05T09:00:00Z",
    "Scheduler-Job": "j",
    "Scheduler-Completion-Token": "t0ken",
}
# The same over bytes that are no text (c3 bc 00 ff), with a key of openssl's for Ed25519.
BYTES_ID, BYTES_AT, BYTES = "019b8f3a-1c00-8a4e-9d3b-6f2c1e7a5b40", 1767603600, b"\xc3\xbc\x00\xff"
BYTES_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
BYTES_RIGHT = "v1,BUkjqy48HKCD2nDmNnV+MpEWTaD4sm6UksU8IJABbJ4="
PUBLIC = "whpk_R+Iv9GSzb9/+glflLHbWOpdxVrezHb4kX/wPw58tF+M="
ED25519 = (
    "v1a,zR2oi1chOfev6qW3Yd3RRuo6OtJfdOumZqBwiv5gF6m5ah7C8w5xKwPZWRGcyDxG77/FJ/2Y4z/fdScVrWp3Cg=="
)


def checked(body: bytes = BODY, secrets: Any = SECRET, now: float = AT, **headers: str) -> Delivery:
    return changed(headers, body, secrets, now)


def changed(
    headers: dict[str, str], body: bytes = BODY, secrets: Any = SECRET, now: float = AT
) -> Delivery:
    """Verify the request with some headers changed."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    kept = {name: text for name, text in HEADERS.items() if name.lower() not in named}
    return verify(body, kept | named, secrets, now=now)


def test_a_request_that_is_signed_right_is_believed() -> None:
    found = checked()
    assert (found.id, found.attempt, found.job_id) == (HEADERS["Webhook-Id"], 2, "j")
    assert found.sent_at == datetime.fromtimestamp(AT, UTC)
    assert found.scheduled_for == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert found.json() == {"test": 2432232314}
    assert "t0ken" not in repr(found)


def test_bytes_that_are_no_text_are_signed_like_any() -> None:
    headers = {"webhook-id": BYTES_ID, "webhook-timestamp": str(BYTES_AT)}
    for secret, signature in ((BYTES_SECRET, BYTES_RIGHT), (PUBLIC, ED25519)):
        signed = headers | {"webhook-signature": f"v1,AAAA {signature}"}
        assert verify(BYTES, signed, secret, now=BYTES_AT).body == BYTES
        with pytest.raises(NotVerified):
            verify(BYTES + b"\n", signed, secret, now=BYTES_AT)


def test_a_signature_counts_in_its_own_version_alone() -> None:
    headers = {"webhook-id": BYTES_ID, "webhook-timestamp": str(BYTES_AT)}
    for secret, signature in ((BYTES_SECRET, BYTES_RIGHT), (PUBLIC, ED25519)):
        value = signature.partition(",")[2]
        for version in ("v1a" if secret == BYTES_SECRET else "v1", "v2", "", "V1"):
            signed = headers | {"webhook-signature": f"{version},{value}"}
            with pytest.raises(NotVerified):
                verify(BYTES, signed, secret, now=BYTES_AT)


def test_any_of_several_signatures_under_any_of_several_secrets_will_do() -> None:
    assert checked(secrets=[OTHER, SECRET, PUBLIC]).body == BODY
    assert checked(webhook_signature=f"v2,x v1,b3RoZXI= {RIGHT}").body == BODY
    with pytest.raises(NotVerified):
        checked(secrets=[OTHER, PUBLIC])


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook_signature": RIGHT.replace("v1,", "v1a,")},
        {"webhook_signature": RIGHT[3:]},
        {"webhook_signature": RIGHT[:-4]},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,ü"},
        {"webhook_signature": ""},
        {"webhook_signature": " ".join(["v1,AAAA"] * 40 + [RIGHT])},
        {"webhook_id": "msg_other"},
        {"webhook_id": ""},
        {"webhook_id": "\udcff"},
        {"webhook_timestamp": str(AT + 1)},
        {"webhook_timestamp": f"{AT}.0"},
        {"webhook_timestamp": f" {AT}"},
        {"webhook_timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook_timestamp": "9" * 13},
        {"webhook_timestamp": "-1"},
    ],
)
def test_a_request_with_anything_changed_is_not_believed(headers: dict[str, str]) -> None:
    with pytest.raises(NotVerified):
        changed(headers)


def test_a_changed_body_and_an_old_or_early_request_are_not_believed() -> None:
    for body, now in ((BODY + b" ", AT), (b"", AT), (BODY, AT + 301), (BODY, AT - 301)):
        with pytest.raises(NotVerified):
            checked(body, now=now)
    assert checked(now=AT + 299).body == BODY
    with pytest.raises(NotVerified, match="301 s ago"):
        checked(now=AT + 301)


def test_a_header_that_is_there_twice_is_not_believed() -> None:
    with pytest.raises(NotVerified, match="more than one webhook-id"):
        verify(BODY, HEADERS | {"webhook-id": "msg_other"}, SECRET, now=AT)


def test_the_optional_headers_may_be_nonsense() -> None:
    found = checked(scheduler_attempt="²", scheduler_scheduled_for="soon")
    assert (found.attempt, found.scheduled_for) == (None, None)


@pytest.mark.parametrize("wrong", ["", "whsec_", "whsec_AAAA", "whsec_!", "whpk_AAAA", [], [""]])
def test_a_secret_that_is_none_is_an_error_of_who_gives_it(wrong: Any) -> None:
    """Above all an empty one, which anybody could sign with."""
    signed = base64.b64encode(hmac.digest(b"", b"id.1." + BODY, hashlib.sha256)).decode()
    headers = {"webhook-id": "id", "webhook-timestamp": "1", "webhook-signature": f"v1,{signed}"}
    with pytest.raises(ValueError, match=r"secret|public key"):
        verify(BODY, headers, wrong, now=1)


def test_what_the_library_of_the_standard_signs_is_believed() -> None:
    now = datetime.now(UTC)
    signature = Webhook(SECRET).sign("msg_1", now, BODY.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert verify(BODY, headers, SECRET).id == "msg_1"
