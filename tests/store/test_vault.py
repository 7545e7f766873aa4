"""Sealed values open in their place, under a key of the ring, and nowhere else."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.store import vault
from scheduler_svc.store.vault import Damaged, KeyMissing, KeyRing, open_text, read_key
from sealing import KEY, KEY_TEXT, OTHER_KEY, RING, ring_of

PLACE = "default\0secret\0token"


@given(value=st.binary(max_size=200), place=st.text(max_size=50))
def test_a_value_comes_back_in_its_place(value: bytes, place: str) -> None:
    sealed = RING.seal(value, place)
    assert re.fullmatch(r"sealed:v1:[0-9a-f]{8}:[A-Za-z0-9_-]+", sealed)
    assert RING.open(sealed, place) == value
    assert vault.plain_length(sealed) == len(value)
    with pytest.raises(Damaged):
        RING.open(sealed, place + "x")


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert len({RING.seal("value", PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize("at", [0, 20, -1])
def test_a_value_that_was_changed_does_not_open(at: int) -> None:
    head, _, text = RING.seal("some value", PLACE).rpartition(":")
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raw[at] ^= 1
    changed = f"{head}:{base64.urlsafe_b64encode(bytes(raw)).rstrip(b'=').decode()}"
    with pytest.raises(Damaged):
        RING.open(changed, PLACE)


@pytest.mark.parametrize("text", ["", "sealed:v1:", "sealed:v2:00000000:" + "a" * 40, "plain"])
def test_what_is_no_sealed_value_does_not_open(text: str) -> None:
    with pytest.raises(Damaged):
        RING.open(text, PLACE)


def test_an_older_key_opens_and_the_newest_seals() -> None:
    old = RING.seal("value", PLACE)
    both = ring_of(OTHER_KEY, KEY)
    assert both.open(old, PLACE) == b"value"
    assert not both.is_newest(old)
    new = both.seal("value", PLACE)
    assert both.is_newest(new)
    with pytest.raises(KeyMissing) as missing:
        RING.open(new, PLACE)
    assert missing.value.key_id == both.newest
    assert both.newest in str(missing.value)


def test_what_was_stored_unsealed_is_itself_and_what_was_sealed_needs_a_ring() -> None:
    assert open_text(None, "as it was", PLACE) == "as it was"
    with pytest.raises(KeyMissing):
        open_text(None, RING.seal("value", PLACE), PLACE)


def test_neither_a_key_nor_a_value_is_in_a_text() -> None:
    sealed = RING.seal("canary", PLACE)
    texts = [repr(RING), str(RING), sealed]
    for ring, place in ((ring_of(OTHER_KEY), PLACE), (RING, "elsewhere")):
        with pytest.raises(vault.Unopenable) as fault:
            ring.open(sealed, place)
        texts += [str(fault.value), repr(fault.value)]
    for text in texts:
        assert "canary" not in text
        assert KEY_TEXT not in text
        assert KEY.hex() not in text


def test_a_key_is_read_in_either_alphabet_with_or_without_padding() -> None:
    key = bytes(range(224, 256))
    for text in (base64.b64encode(key), base64.urlsafe_b64encode(key)):
        assert read_key(text.decode()) == read_key(text.decode().rstrip("=")) == key
    for bad in ("", "x", "%%%%", base64.b64encode(bytes(31)).decode(), KEY_TEXT + "AAAA"):
        with pytest.raises(ValueError, match=r"base64|bytes"):
            read_key(bad)


def test_a_ring_has_a_key() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        KeyRing([], bytes)
