"""What a change changed, and what a hash covers."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, json, structs

from scheduler_svc.api.job_examples import EXAMPLES
from scheduler_svc.domain.audit import Entry, kind_of_actor, many_of
from scheduler_svc.domain.audit_chain import FIRST, hash_of, is_whole, seal, seal_key
from scheduler_svc.domain.audit_change import (
    DOCUMENT_MAX,
    created_text,
    difference,
    job_document,
    text_of,
)
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Definition, Job

LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(LEAVES, lambda part: st.dictionaries(st.sampled_from("abc"), part, max_size=3)),
    max_size=3,
)
ENTRY = Entry(
    id=UUID(int=1),
    at=instant_at(1_767_600_000_123),
    namespace="default",
    actor_kind="key",
    actor_id="key:1",
    actor_name="ci",
    address="10.0.0.1",
    request_id="r",
    action="job.updated",
    resource_kind="job",
    resource_id="j",
    resource_name="nightly",
    job_id=UUID(int=2),
    before='{"a":1}',
    after='{"a":2}',
    many=None,
)
KEY = seal_key("11111111", b"k" * 32)


def merged(document: Any, patch: Any) -> Any:
    """RFC 7396, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    target = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merged(target.get(name), value)
    return target


def without_nulls(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {name: without_nulls(one) for name, one in document.items() if one is not None}


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_is_a_merge_patch_from_one_side_to_the_other(before: Any, after: Any) -> None:
    before, after = without_nulls(before), without_nulls(after)
    was, now = difference(before, after)
    assert merged(before, now) == after
    assert merged(after, was) == before
    assert (now == {}) == (before == after)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20_000), max_size=8))
def test_whatever_is_kept_of_a_change_is_json_within_its_bound(document: dict[str, str]) -> None:
    text = text_of(document)
    if not document:
        assert text is None
        return
    assert text is not None
    assert len(text.encode()) <= DOCUMENT_MAX
    json.decode(text)


@pytest.mark.parametrize("field", Entry.__struct_fields__)
def test_each_field_is_under_the_hash(field: str) -> None:
    value = getattr(ENTRY, field)
    other: Any = {
        "id": UUID(int=9),
        "job_id": None,
        "at": instant_at(1_767_600_000_124),
        "many": "{}",
    }.get(field, f"{value} ")
    assert hash_of(structs.replace(ENTRY, **{field: other}), 1, FIRST.hash) != hash_of(
        ENTRY, 1, FIRST.hash
    )


def test_what_moves_from_one_field_into_the_next_changes_the_hash() -> None:
    moved = structs.replace(ENTRY, actor_id="key:1c", actor_name="i")
    empty, none = structs.replace(ENTRY, many=""), structs.replace(ENTRY, many=None)
    hashes = {hash_of(one, 1, FIRST.hash) for one in (ENTRY, moved, empty)}
    assert len(hashes) == 3
    assert hash_of(none, 1, FIRST.hash) == hash_of(ENTRY, 1, FIRST.hash)


def test_an_entry_is_whole_in_its_place_alone() -> None:
    sealed = seal(ENTRY, FIRST, 1, (KEY,))
    assert is_whole(sealed)
    assert not is_whole(sealed, seq=2)
    assert not is_whole(structs.replace(sealed, prev_hash=b"x" * 32))
    assert "k" * 8 not in repr(KEY)


def test_a_caller_is_told_apart_by_its_credential() -> None:
    kinds = [kind_of_actor(one) for one in ("", "key:1", "bootstrap", "jwt:https://id/:me")]
    assert kinds == ["anyone", "key", "bootstrap", "token"]


def test_few_ids_are_all_listed_and_many_are_told_apart_by_a_digest() -> None:
    few = json.decode(many_of([UUID(int=1)]))
    assert few == {"count": 1, "ids": [str(UUID(int=1))]}
    one, other = [UUID(int=n) for n in range(300)], [UUID(int=n) for n in range(300)]
    other[299] = UUID(int=999)
    assert json.decode(many_of(one))["rest_sha256"] != json.decode(many_of(other))["rest_sha256"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_text_of_a_job_that_was_made_is_its_document(name: str) -> None:
    made = json.decode(json.encode(EXAMPLES[name]), type=Definition)
    job = Job(
        id=UUID(int=7),
        namespace="default",
        definition=made,
        state="active",
        pause=None,
        revision=1,
        created_at=instant_at(0),
        updated_at=instant_at(0),
        next_fire_at=None,
    )
    text = created_text(job)
    assert text == text_of(job_document(job))
    long = structs.replace(made.target, body=Raw(json.encode("x" * DOCUMENT_MAX)))
    job = structs.replace(job, definition=structs.replace(made, target=long))
    assert created_text(job) == text_of(job_document(job))
