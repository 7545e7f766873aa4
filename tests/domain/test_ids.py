"""Identities: the golden values were computed apart from the code, with sha256sum and by hand."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.ids import (
    epoch_ms,
    id_text,
    instant_at,
    job_id,
    job_id_bytes,
    looks_like_id,
    random_run_id,
    run_id,
    run_id_bytes,
    scheduled_ms_of,
)

JOB = UUID("01980000-0000-7000-8000-000000000001")
BACKFILL = UUID("01980000-0000-7000-8000-0000000000bf")
INSTANTS = st.integers(0, 253_402_300_799_999)


@pytest.mark.parametrize(
    ("ms", "backfill", "wanted"),
    [
        (0, None, "00000000-0000-8cc0-ac62-0f133d9740b6"),
        (1_767_600_000_000, None, "019b8d2b-8c00-8a88-aed2-fa6abfaed75b"),
        (1_767_600_000_001, None, "019b8d2b-8c01-8382-a9fe-aae76a523ec0"),
        (1_767_600_000_000, BACKFILL, "019b8d2b-8c00-8302-bd48-d7bf207cd482"),
        (253_402_300_799_999, None, "e677d21f-dbff-818d-8f5c-f724a741cf16"),
    ],
)
def test_the_id_of_an_occurrence_is_a_published_function(
    ms: int, backfill: UUID | None, wanted: str
) -> None:
    assert run_id(JOB, ms, backfill) == UUID(wanted)


@given(INSTANTS, st.uuids(), st.none() | st.uuids())
def test_the_id_follows_the_words_of_its_definition(
    ms: int, job: UUID, backfill: UUID | None
) -> None:
    text = job.bytes + ms.to_bytes(8, "big") + (backfill.bytes if backfill else b"")
    raw = bytearray(ms.to_bytes(6, "big") + hashlib.sha256(text).digest()[:10])
    raw[6] = 0x80 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    assert run_id(job, ms, backfill).bytes == bytes(raw)


@given(INSTANTS, st.uuids(), st.binary(min_size=10, max_size=10))
def test_version_and_variant_are_set(ms: int, job: UUID, rest: bytes) -> None:
    for made, version in (
        (run_id(job, ms), 8),
        (random_run_id(ms, rest), 8),
        (job_id(ms, rest), 7),
    ):
        assert made.version == version
        assert made.variant == "specified in RFC 4122"


@given(INSTANTS, INSTANTS, st.uuids(), st.uuids())
def test_ids_sort_by_time_before_all_else(one: int, two: int, job: UUID, other: UUID) -> None:
    if one < two:
        assert run_id(job, one) < run_id(other, two)
        assert str(run_id(job, one)) < str(run_id(other, two))


@given(INSTANTS, st.uuids(), st.binary(min_size=10, max_size=10))
def test_the_nominal_time_can_be_read_back(ms: int, job: UUID, rest: bytes) -> None:
    assert scheduled_ms_of(run_id(job, ms)) == ms
    assert scheduled_ms_of(random_run_id(ms, rest)) == ms


def test_schedule_backfill_and_job_each_make_a_different_id() -> None:
    ms = 1_767_600_000_000
    ids = {run_id(JOB, ms), run_id(JOB, ms, BACKFILL), run_id(BACKFILL, ms), run_id(JOB, ms + 1)}
    assert len(ids) == 4


def test_a_hundred_thousand_occurrences_share_no_id() -> None:
    jobs = [uuid4() for _ in range(100)]
    assert len({run_id(job, ms) for job in jobs for ms in range(1000)}) == 100_000


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.integers(-14, 14))  # noqa: DTZ001
def test_an_instant_is_cut_to_milliseconds_and_comes_back(at: datetime, hours: int) -> None:
    aware = at.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=hours)))
    cut = at.replace(tzinfo=UTC, microsecond=at.microsecond // 1000 * 1000)
    assert instant_at(epoch_ms(aware)) == cut


@pytest.mark.parametrize("text", ["nightly-report", "a", "0", "abc.def_1", "1234"])
def test_a_name_is_not_taken_for_an_id(text: str) -> None:
    assert not looks_like_id(text)


@pytest.mark.parametrize("text", [str(BACKFILL), BACKFILL.hex, str(BACKFILL).upper()])
def test_an_id_in_any_spelling_is_taken_for_one(text: str) -> None:
    assert looks_like_id(text)


@given(st.uuids(), INSTANTS)
def test_an_occurrence_has_one_id_however_it_is_made(job: UUID, ms: int) -> None:
    assert run_id_bytes(job.bytes, ms) == run_id(job, ms).bytes


@given(st.binary(min_size=10, max_size=10), INSTANTS)
def test_a_job_has_one_id_however_it_is_made(rest: bytes, ms: int) -> None:
    assert job_id_bytes(ms, rest) == job_id(ms, rest).bytes
    assert id_text(ms, rest) == str(job_id(ms, rest))


def test_random_bytes_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        random_run_id(0, b"short")
