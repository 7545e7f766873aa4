"""Bodies of foreign definitions: bytes or texts, as JSON where they are JSON, else as bytes."""

import binascii
import json
from base64 import b64decode, b64encode
from typing import Any

from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.target import plain


def set_base64(draft: Draft, text: str, path: str) -> None:
    """Set a body that came as base64."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unfit("payload", f"{path} is no base64") from None
    set_bytes(draft, raw)


def set_bytes(draft: Draft, raw: bytes) -> None:
    """Set a body: an object or a list as JSON, so that people can read it; else the bytes."""
    if not raw:
        return
    found = as_json(raw)
    if isinstance(found, dict | list):
        draft.target["body"] = plain(found)
        draft.same("payload", "the body is the same JSON; blanks between its parts may differ")
    else:
        draft.target["body_base64"] = b64encode(raw).decode("ascii")


def as_json(raw: bytes) -> Any:
    """Return what bytes say as JSON; None where they say nothing."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
