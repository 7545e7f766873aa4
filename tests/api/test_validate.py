"""Bodies: every fault at once, each named by pointer; what is no JSON is malformed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.api import validate
from scheduler_svc.api.validate_json import DEPTH_MAX
from scheduler_svc.domain.errors import Invalid, Malformed
from scheduler_svc.domain.jobs import Definition

SMALLEST = {"schedule": {"every": "2s"}, "target": {"url": "https://example.test/"}}
READ_ONLY = frozenset({"id", "state"})


def faults_of(document: object) -> dict[str, tuple[str, str]]:
    raw = document if isinstance(document, bytes) else msgspec.json.encode(document)
    seen = validate.examine(raw, Definition, read_only=READ_ONLY)
    return {fault.pointer: (fault.code, fault.detail) for fault in seen.faults}


def with_target(**changes: object) -> dict[str, object]:
    return {**SMALLEST, "target": {"url": "https://example.test/", **changes}}


def test_the_smallest_definition_is_accepted_with_its_defaults() -> None:
    made = validate.decode(msgspec.json.encode(SMALLEST), Definition)
    assert made.target.method == "POST"
    assert made.retry.max_attempts == 4


def test_the_bytes_of_a_body_are_kept_as_they_came() -> None:
    exact = b'{"n": 1.50,  "big": 123456789012345678901234567890}'
    raw = b'{"schedule":{"every":"2s"},"target":{"url":"http://a.test","body":' + exact + b"}}"
    assert bytes(validate.decode(raw, Definition).target.body) == exact


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "no JSON"),
        (b"{} {}", "trailing"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"name": "a"}'.encode("utf-16"), "byte order mark"),
        (b'{"name": "\xff"}', "UTF-8"),
        (b'{"target": {"body": "\xc3"}}', "UTF-8"),
        (b'{"name": NaN}', "no JSON"),
        (b'{"name": -Infinity}', "no JSON"),
        (b'{"name": "\\ud800"}', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'{"name": 01}', "no JSON"),
        (b'{"name": "a\nb"}', "no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "deep"),
        (b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1), "deep"),
        (b'{"a": 1e999, "b": NaN}', "no JSON"),
    ],
)
def test_what_is_no_json_is_malformed(raw: bytes, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        validate.decode(raw, Definition)
    assert words in caught.value.detail


def test_a_body_as_deep_as_allowed_is_read() -> None:
    deep = b"[" * (DEPTH_MAX - 2) + b"]" * (DEPTH_MAX - 2)
    raw = b'{"schedule":{"every":"2s"},"target":{"url":"http://a.test","body":' + deep + b"}}"
    assert bytes(validate.decode(raw, Definition).target.body) == deep


@pytest.mark.parametrize(
    ("document", "pointer", "code", "words"),
    [
        ([], "", "invalid", "must be an object, not a list"),
        ({**SMALLEST, "nme": "x"}, "/nme", "unknown_field", "did you mean 'name'?"),
        ({**SMALLEST, "zzzzz": 1}, "/zzzzz", "unknown_field", "known are name, description"),
        ({**SMALLEST, "state": "paused"}, "/state", "read_only", "remove it"),
        (with_target(state=1), "/target/state", "unknown_field", "known are"),
        (with_target(**{"a/b~c": 1}), "/target/a~1b~0c", "unknown_field", "unknown field"),
        ({"target": {"url": "http://a.test"}}, "/schedule", "invalid", "is required"),
        ({**SMALLEST, "priority": 101}, "/priority", "invalid", "must be from -100 to 100"),
        ({**SMALLEST, "priority": 10**30}, "/priority", "invalid", "must be from -100 to 100"),
        ({**SMALLEST, "priority": "1"}, "/priority", "invalid", "a whole number, not a string"),
        ({**SMALLEST, "priority": 1.5}, "/priority", "invalid", "must be a whole number"),
        ({**SMALLEST, "priority": True}, "/priority", "invalid", "not a boolean"),
        ({**SMALLEST, "priority": None}, "/priority", "invalid", "not null"),
        ({**SMALLEST, "name": 1}, "/name", "invalid", "must be a string or null, not a number"),
        ({**SMALLEST, "name": "Übung"}, "/name", "invalid", "lower-case letters"),
        ({**SMALLEST, "name": "a\n"}, "/name", "invalid", "lower-case letters"),
        ({**SMALLEST, "name": "a" * 129}, "/name", "invalid", "1 to 128"),
        ({**SMALLEST, "name": "a\0"}, "/name", "invalid", "NUL"),
        ({**SMALLEST, "description": "a\0b"}, "/description", "invalid", "NUL"),
        ({**SMALLEST, "description": "x" * 4097}, "/description", "invalid", "at most 4096"),
        ({**SMALLEST, "labels": {"BAD": "x"}}, "/labels/BAD", "invalid", "label's key"),
        ({**SMALLEST, "labels": {"a": "x" * 257}}, "/labels/a", "invalid", "at most 256"),
        (
            {**SMALLEST, "labels": {f"l{n}": "x" for n in range(65)}},
            "/labels",
            "invalid",
            "at most 64",
        ),
        (with_target(method="GETT"), "/target/method", "invalid", "did you mean 'GET'?"),
        (with_target(headers={"a": "\0"}), "/target/headers/a", "invalid", "NUL"),
        (with_target(success_status=[]), "/target/success_status", "invalid", "at least 1"),
        (with_target(success_status=[None]), "/target/success_status/0", "invalid", "not null"),
        ({**SMALLEST, "retry": {"initial_delay": "5"}}, "/retry/initial_delay", "invalid", "unit"),
        ({**SMALLEST, "retry": {"max_delay": "5s\n"}}, "/retry/max_delay", "invalid", "duration"),
        ({**SMALLEST, "retry": {"deadline": "99999999d"}}, "/retry/deadline", "invalid", "100 y"),
        ({**SMALLEST, "retry": {"delays": ["1s", 2]}}, "/retry/delays/1", "invalid", "a string"),
        ({**SMALLEST, "schedule": {"at": "2030-01-01T00:00:00"}}, "/schedule/at", "invalid", "off"),
        ({**SMALLEST, "schedule": {"at": "10000-01-01T00:00:00Z"}}, "/schedule/at", "invalid", "9"),
        ({**SMALLEST, "schedule": {"at": "2030-02-30T00:00:00Z"}}, "/schedule/at", "invalid", "va"),
        (
            {**SMALLEST, "schedule": {"at": "9999-12-31T23:59:59-10:00"}},
            "/schedule/at",
            "invalid",
            "in UTC too",
        ),
    ],
)
def test_a_fault_is_named_by_pointer_and_kind(
    document: object, pointer: str, code: str, words: str
) -> None:
    found = faults_of(document)
    assert list(found) == [pointer]
    assert found[pointer][0] == code
    assert words in found[pointer][1]


def test_all_faults_are_told_at_once() -> None:
    found = faults_of(
        {"nmae": "x", "id": "y", "priority": 1000, "target": {"url": 5, "timeout": "soon"}}
    )
    assert {pointer: code for pointer, (code, _) in found.items()} == {
        "/nmae": "unknown_field",
        "/id": "read_only",
        "/priority": "invalid",
        "/target/url": "invalid",
        "/target/timeout": "invalid",
        "/schedule": "invalid",
    }


@pytest.mark.parametrize("number", [b"1e999", b"-1e400", b"1" * 5000])
def test_a_number_that_no_machine_holds_is_named_by_pointer(number: bytes) -> None:
    raw = b'{"schedule":{"every":"2s"},"target":{"url":"http://a.test","body":[0,' + number + b"]}}"
    assert faults_of(raw) == {"/target/body/1": ("invalid", "the number is out of range")}


def test_a_nul_inside_the_body_for_the_target_is_its_own_business() -> None:
    raw = msgspec.json.encode(with_target(body={"a": "\0"}))
    assert bytes(validate.decode(raw, Definition).target.body) == b'{"a":"\\u0000"}'


def test_faults_stop_at_a_hundred() -> None:
    assert len(faults_of({f"f{n}": 1 for n in range(1000)})) == 100


def test_a_part_without_faults_is_usable_beside_faults_elsewhere() -> None:
    document = {**SMALLEST, "priority": "high"}
    assert validate.examine(msgspec.json.encode(document), Definition).value is None
    target = validate.part(document["target"], Definition.__annotations__["target"])
    assert target is not None
    assert target.url == "https://example.test/"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from([field.name for field in msgspec.structs.fields(Definition)])


@given(st.dictionaries(field_names, json_values, max_size=6))
def test_what_the_decoder_refuses_the_walk_explains(changes: dict[str, object]) -> None:
    raw = msgspec.json.encode({**SMALLEST, **changes})
    seen = validate.examine(raw, Definition)
    try:
        msgspec.json.decode(raw, type=Definition)
    except msgspec.ValidationError:
        assert seen.faults
    assert (seen.value is None) == bool(seen.faults)
    # A sentence of msgspec's own would mean that the walk had overlooked something.
    assert not any(fault.detail.startswith(("Expected", "Invalid")) for fault in seen.faults)


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(raw: bytes) -> None:
    with pytest.raises((Malformed, Invalid)):
        validate.decode(raw, Definition)
