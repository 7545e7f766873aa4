"""The record of an attempt: the text that is stored reads as the value that it stands for."""

import json
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.delivery.exchange import Exchange, Timing
from scheduler_svc.delivery.record import record
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.redaction import redaction_of
from scheduler_svc.domain.runs import Attempt
from scheduler_svc.domain.runs import Timing as Phases

REPLICA = UUID(int=7)
MS = st.floats(0, 1e6)
# Over a connection that was there, and over one that was dialled.
TIMINGS = st.builds(Timing, first_byte_ms=st.none() | MS) | st.builds(
    Timing,
    dns_ms=st.none() | MS,
    connect_ms=MS,
    tls_ms=st.none() | MS,
    first_byte_ms=st.none() | MS,
)
EXCHANGES = st.builds(
    Exchange,
    outcome=st.sampled_from(["ok", "timeout", "connect_error"]),
    status_code=st.none() | st.integers(200, 999),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["Content-Type", "Set-Cookie", "X", "x", 'Q"']),
            st.sampled_from(["text/plain", "image/png", "", 'a"\\', "é"]),
        ),
        max_size=3,
    ),
    body=st.sampled_from([b"", b"ok", b'"\x1e\n', "né".encode(), b"\xff", b"x" * 300]),
    truncated=st.booleans(),
    error=st.none() | st.text(max_size=9),
    timing=TIMINGS,
    duration_ms=MS,
)


@given(EXCHANGES, st.integers(1, 9), st.integers(0, 2**42))
def test_the_text_reads_as_the_attempt_and_holds_nothing_else(
    exchange: Exchange, number: int, started_ms: int
) -> None:
    redact = redaction_of([], [])
    made = record(
        exchange,
        exchange.outcome,
        number=number,
        started_ms=started_ms,
        replica=str(REPLICA),
        redact=redact,
    )
    read = msgspec.json.decode(made.text, type=Attempt)
    timing = exchange.timing
    assert msgspec.structs.replace(read, response=None) == Attempt(
        number=number,
        started_at=instant_at(started_ms),
        duration_ms=round(exchange.duration_ms, 3),
        outcome=exchange.outcome,
        status_code=exchange.status_code,
        error=exchange.error,
        timing=Phases(
            dns_ms=_rounded(timing.dns_ms),
            connect_ms=_rounded(timing.connect_ms),
            tls_ms=_rounded(timing.tls_ms),
            first_byte_ms=_rounded(timing.first_byte_ms),
        ),
        replica=REPLICA,
    )
    assert (read.response is None) == (exchange.status_code is None)
    assert json.loads(made.text) == json.loads(msgspec.json.encode(read))
    assert (made.outcome, made.status_code) == (read.outcome, read.status_code)
    assert (made.error, made.duration_ms) == (read.error, read.duration_ms)
    # The columns of a batch are held apart by it (`store/columns.py`).
    assert "\x1e" not in made.text


@pytest.mark.parametrize("length", [3, 300])
def test_equal_bodies_under_other_rules_are_masked_by_those(length: int) -> None:
    body = json.dumps({"token": "t" * length}).encode()
    exchange = Exchange("ok", 200, [("Account", "a")], body)
    rules = [([], []), (["Account"], []), ([], ["/token"]), ([], [])]
    texts = [
        record(exchange, "ok", number=1, started_ms=0, replica="", redact=redaction_of(*each)).text
        for each in rules
    ]
    assert texts[0] == texts[3]
    assert ['"a"' in text for text in texts] == [True, False, True, True]
    assert ["ttt" in text for text in texts] == [True, True, False, True]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
