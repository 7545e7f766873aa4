"""The reader of responses: what it says does not depend on how the octets are cut into pieces."""

from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler_svc.delivery import response
from scheduler_svc.delivery.response import SEEN_HEADS_MAX, ResponseReader

Verdict = tuple[str | None, int | None, bytes, bool]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n"
SAMPLES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    CHUNKED,
    b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200",
    b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"junk",
]


def read(pieces: list[bytes], *, head_only: bool = False, clean: bool = True) -> Verdict:
    reader = ResponseReader(head_bytes_max=1024)
    reader.begin(head_only=head_only, capture_max=64)
    for piece in pieces:
        if reader.outcome is None and piece:
            reader.feed(piece)
    if reader.outcome is None:
        reader.end_of_stream(clean=clean)
    return reader.outcome, reader.status, reader.body(), reader.truncated


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(octets) + 1) for place in places} | {0, len(octets)})
    return [octets[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("octets", SAMPLES)
@given(places=st.lists(st.integers(0, 5000), max_size=12), head_only=st.booleans())
def test_the_verdict_is_the_same_however_the_octets_arrive(
    octets: bytes, places: list[int], *, head_only: bool
) -> None:
    whole = read([octets], head_only=head_only)
    assert read(cut(octets, places), head_only=head_only) == whole


@pytest.mark.parametrize("octets", SAMPLES)
def test_octet_by_octet_is_the_same_as_at_once(octets: bytes) -> None:
    assert read([bytes([octet]) for octet in octets]) == read([octets])


@given(st.binary(max_size=200), st.sampled_from(SAMPLES), st.integers(0, 80), st.booleans())
@example(b"", b"HTTP/1.1 200 OK\r\n\r\n", 19, True)
def test_no_octets_make_the_reader_raise_or_stay_without_a_verdict(
    noise: bytes, sample: bytes, place: int, head_only: bool
) -> None:
    for octets in (noise, sample[:place] + noise + sample[place:]):
        for clean in (True, False):
            outcome, _, body, _ = read([octets], head_only=head_only, clean=clean)
            assert outcome in {"ok", "protocol_error", "connect_error", "too_large"}
            assert len(body) <= 64


@given(
    st.integers(200, 599).filter(lambda status: status not in {204, 304}),
    st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    st.booleans(),
)
def test_what_an_independent_server_writes_is_read_back_whole(
    status: int, parts: list[bytes], chunked: bool
) -> None:
    body = b"".join(parts)[:64]
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    while server.next_event() is not h11.PAUSED and server.their_state is not h11.DONE:
        pass
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
    octets = server.send(h11.Response(status_code=status, headers=[framing])) or b""
    for start in range(0, len(body), 7):
        octets += server.send(h11.Data(data=body[start : start + 7])) or b""
    octets += server.send(h11.EndOfMessage()) or b""
    assert read([octets]) == ("ok", status, body, False)


def test_a_reader_serves_one_response_after_another() -> None:
    reader = ResponseReader(head_bytes_max=1024)
    for head_only in (False, True, False, True, True, False):
        reader.begin(head_only=head_only, capture_max=64)
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + b"" * head_only)
        if not head_only:
            assert reader.outcome is None
            reader.feed(b"abc")
        assert (reader.outcome, reader.exact) == ("ok", True)
        assert reader.body() == (b"" if head_only else b"abc")


HEADS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nKeep-Alive: timeout=5\r\nX: 1\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: %d\n\n",
        b"HTTP/1.1 204 Gone by\r\nX: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: %d\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nX: %d\r\n\r\n",
    ]
)
BODIES = [
    *(b"", b"a", b"abc", b"\r\n\r\n", b"ab\r\n\r\nabcd", b"x" * 65),
    *(b"1\r\na\r\n0\r\n\r\n", b"HTTP/1.1 204 None\r\n\r\n"),
]


def told(octets: bytes, *, head_only: bool = False, cap: int = 64) -> tuple[object, ...]:
    reader = ResponseReader(head_bytes_max=1024)
    reader.begin(head_only=head_only, capture_max=cap)
    if (seen := reader.seen(octets)) is not None:
        body = octets[len(octets) - seen.length :]
        verdict: tuple[object, ...] = ("ok", seen.status, seen.headers, body, False, True, None)
    else:
        reader.feed(octets)
        verdict = (
            *(reader.outcome, reader.status, reader.headers(), reader.body(), reader.truncated),
            *(reader.exact, reader.error),
        )
    return *verdict, reader.keep_alive_hint


@given(HEADS, st.lists(st.integers(0, 66), min_size=1, max_size=4), st.permutations(BODIES))
def test_a_head_seen_before_is_read_as_it_was_the_first_time(
    head: bytes, lengths: list[int], bodies: list[bytes]
) -> None:
    answers = [head % (length,) + each for length in lengths for each in (*bodies, b"x" * length)]
    response._seen.clear()
    for answer in answers:
        for head_only in (False, True):
            known = told(answer, head_only=head_only)
            before = dict(response._seen)
            response._seen.clear()
            assert told(answer, head_only=head_only) == known
            response._seen.update(before)


def test_a_head_seen_before_does_not_lift_the_cap_of_the_body() -> None:
    response._seen.clear()
    octets = b"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n" + b"x" * 65
    short = told(octets)
    told(octets, cap=100)
    assert told(octets) == short


def test_few_heads_are_remembered_and_no_long_ones() -> None:
    response._seen.clear()
    for number in range(SEEN_HEADS_MAX + 3):
        told(b"HTTP/1.1 200 OK\r\nX: %d\r\nContent-Length: 0\r\n\r\n" % number)
    assert len(response._seen) == SEEN_HEADS_MAX
    response._seen.clear()
    told(b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 0\r\n\r\n" % (b"y" * 1000))
    assert response._seen == {}


def test_a_reader_is_as_new_after_answers_that_were_seen_before() -> None:
    response._seen.clear()
    plain = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"
    other = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    told(plain)
    reader = ResponseReader(head_bytes_max=1024)
    for _ in range(2):
        reader.begin(head_only=False, capture_max=64)
        assert reader.seen(plain) is not None
        assert reader.keep_alive_hint == b"timeout=5"
        reader.begin(head_only=False, capture_max=64)
        assert reader.seen(other) is None
        reader.feed(other)
        assert (reader.outcome, reader.status, reader.body()) == ("ok", 500, b"abc")
        assert reader.exact
        assert reader.keep_alive_hint is None


def test_an_answer_that_began_is_not_taken_for_one_that_was_seen() -> None:
    response._seen.clear()
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    told(plain)
    reader = ResponseReader(head_bytes_max=1024)
    reader.begin(head_only=False, capture_max=64)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(plain))
    assert reader.seen(plain) is None
