"""An attempt that needs no request of its own sends the very bytes that it would send with one."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from factories import body
from scheduler_svc.delivery.prepare import Prepared, prepare
from scheduler_svc.delivery.request import Sending, payload, request
from scheduler_svc.delivery.signing import Signer
from scheduler_svc.delivery.wire import serialise
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.spans import attempt_traceparent

JOB = UUID("01980000-0000-7000-8000-000000000001")
TEXT = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="{"), max_size=9
)
TARGETS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]),
        "url": st.sampled_from(
            ["http://127.0.0.1:9000/a?b=c", "https://example.com", "http://[::1]:81/%20"]
        ),
        "headers": st.dictionaries(st.sampled_from(["X-One", "x-two", "Accept"]), TEXT),
        "body": st.sampled_from([None, {"n": "x"}, "\u00fc", []]),
        "sign": st.sampled_from([None, True, False]),
    }
)
SIGNERS = st.sampled_from(
    [
        (),
        (Signer(None, None, b"k" * 32),),
        (Signer("example.com", None, b"k" * 32), Signer(None, 5, b"o" * 32)),
    ]
)


class Claim(Struct):
    """What is told of a run."""

    id: UUID
    scheduled_ms: int
    attempt: int
    trigger: str


CLAIMS = st.builds(
    Claim,
    st.uuids(),
    st.integers(0, 4_000_000_000_000),
    st.integers(1, 200),
    st.sampled_from(["schedule", "catch_up", "manual", "replay", "backfill"]),
)


def _prepared(name: str | None, **changes: Any) -> Prepared:
    given = msgspec.json.encode(body(**({} if name is None else {"name": name}), **changes))
    made = msgspec.json.decode(given, type=Definition)
    return prepare(made, namespace="default", version="1", job_id=JOB)


@given(
    target=TARGETS,
    name=st.sampled_from([None, "nightly-report"]),
    claim=CLAIMS,
    now_ms=st.integers(0, 4_000_000_000_000),
    signers=SIGNERS,
)
def test_the_bytes_are_those_of_its_request(
    target: dict[str, Any], name: str | None, claim: Claim, now_ms: int, signers: tuple[Signer, ...]
) -> None:
    prepared = _prepared(name, target={k: v for k, v in target.items() if v is not None})
    if prepared.route is None:
        assert not target["headers"] or not prepared.plain
        return
    trace = attempt_traceparent(claim.id, claim.attempt, 0)
    sending = Sending(
        run_id=claim.id,
        job_id=JOB,
        job_name=name,
        scheduled_ms=claim.scheduled_ms,
        attempt=claim.attempt,
        trigger=claim.trigger,
        now_ms=now_ms,
        trace=trace,
    )
    wanted = serialise(request(prepared, sending, None, capture_max=100, signers=signers))
    written = payload(prepared, claim, now_ms=now_ms, trace=trace, signers=signers)
    assert written == wanted


@pytest.mark.parametrize(
    "target",
    [
        {"headers": {"Authorization": "Bearer 0123456789"}},
        {"headers": {"X-Run": "{{run.id}}"}},
        {"body": {"run": "{{run.id}}"}},
        {"url": "http://127.0.0.1/?run={{run.id}}"},
        {"auth": {"type": "bearer", "token": "0123456789"}},
        {"redirects": 1},
        {"format": "cloudevents"},
        {"completion": "callback"},
    ],
    ids=str,
)
def test_what_needs_a_request_of_its_own_has_none(target: dict[str, Any]) -> None:
    assert _prepared(None, target=target).route is None
