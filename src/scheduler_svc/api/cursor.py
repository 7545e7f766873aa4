"""Where a list goes on: the key of the last row, opaque, bound to the list it was made for.

A cursor of other filters or another sort is refused: its key would skip or repeat rows in silence.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from scheduler_svc.domain.errors import Fault, Invalid

LENGTH_MAX = 2048
_BINDING_BYTES = 8
T = TypeVar("T")


def write(key: Any, binding: Any) -> str:
    """Make a cursor of a row's key; `binding` is the filters and the sort, anything encodable."""
    payload = _digest(binding) + msgspec.json.encode(key)
    return urlsafe_b64encode(payload).rstrip(b"=").decode()


def read(text: str, binding: Any, shape: type[T]) -> T:
    """Return the key; raise Invalid for a cursor of another list, or one that never was one."""
    try:
        if len(text) > LENGTH_MAX:
            raise _refusal("is not one that this service gave out")
        payload = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        if urlsafe_b64encode(payload).rstrip(b"=") != text.encode("ascii"):
            raise _refusal("is not one that this service gave out")
        key = msgspec.json.decode(payload[_BINDING_BYTES:], type=shape)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError):
        raise _refusal("is not one that this service gave out") from None
    if payload[:_BINDING_BYTES] != _digest(binding):
        raise _refusal("belongs to other filters or another sort; begin again without it")
    return key


def _digest(binding: Any) -> bytes:
    return sha256(msgspec.json.encode(binding, order="deterministic")).digest()[:_BINDING_BYTES]


def _refusal(what: str) -> Invalid:
    return Invalid([Fault("", f"the cursor {what}", parameter="cursor")])
