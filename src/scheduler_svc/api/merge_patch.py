"""RFC 7396: a patch laid over a stored document; null restores the default.

Members that the patch does not touch keep their exact bytes.
"""

import msgspec
from msgspec import Raw

from scheduler_svc.api.validate_json import parse
from scheduler_svc.domain.errors import Fault, Invalid

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_NULL = b"null"


def merge(stored: bytes, patch: bytes) -> bytes:
    """Return the JSON text of `stored` with `patch` merged in.

    Raises Malformed where the patch is no JSON, Invalid where it is no object.
    """
    document, faults = parse(patch)
    if not isinstance(document, dict):
        faults = [Fault("", "a merge patch must be an object")]
    if faults:
        raise Invalid(faults)
    return bytes(_merged(stored, patch))


def _merged(stored: bytes | Raw | None, patch: bytes | Raw) -> bytes | Raw:
    """The MergePatch function of RFC 7396, section 2; depth is bounded by `parse`."""
    if not _is_object(patch):
        return patch
    members = _MEMBERS.decode(stored) if stored is not None and _is_object(stored) else {}
    for name, change in _MEMBERS.decode(patch).items():
        if bytes(change).strip() == _NULL:
            members.pop(name, None)
        else:
            members[name] = Raw(_merged(members.get(name), change))
    return msgspec.json.encode(members)


def _is_object(text: bytes | Raw) -> bool:
    return bytes(text).lstrip()[:1] == b"{"
