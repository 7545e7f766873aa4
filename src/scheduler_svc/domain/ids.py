"""Identities: pure functions of what they name, so a crash can not invent a second one.

A scheduled run's id is derived from its job and its nominal time (UUID version 8); it sorts by time
and alone names its partition. Nothing here draws randomness or reads a clock: both are arguments.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
RANDOM_BYTES = 10
HEX_DIGITS = 32


def epoch_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970, cutting what is finer."""
    return (instant - EPOCH) // MILLISECOND


def instant_at(ms: int) -> datetime:
    """Return the UTC instant of these epoch milliseconds."""
    return EPOCH + ms * MILLISECOND


def run_id(job_id: UUID, scheduled_ms: int, backfill_id: UUID | None = None) -> UUID:
    """Name the one possible run of an occurrence (DESIGN, "The run").

    `scheduled_ms` is the nominal time in epoch milliseconds, 0 or later.
    """
    digest = sha256(
        job_id.bytes
        + scheduled_ms.to_bytes(8, "big")
        + (b"" if backfill_id is None else backfill_id.bytes)
    ).digest()
    return _assemble(scheduled_ms, digest[:RANDOM_BYTES], version=8)


def run_id_bytes(job_id: bytes, scheduled_ms: int) -> bytes:
    """Name the same run as `run_id` by the bytes of its id: on the path of every fire."""
    moment = scheduled_ms.to_bytes(8, "big")
    rest = sha256(job_id + moment).digest()
    return b"%b%c%c%c%b" % (
        moment[2:],
        rest[0] & 0x0F | 0x80,
        rest[1],
        rest[2] & 0x3F | 0x80,
        rest[3:RANDOM_BYTES],
    )


def random_run_id(scheduled_ms: int, rest: bytes) -> UUID:
    """Name a manual run or a replay: its time, then ten random bytes of the caller's."""
    return _assemble(scheduled_ms, rest, version=8)


def job_id(created_ms: int, rest: bytes) -> UUID:
    """Name a job: UUID version 7 (RFC 9562) from its creation time and ten random bytes."""
    return _assemble(created_ms, rest, version=7)


def job_id_bytes(created_ms: int, rest: bytes) -> bytes:
    """Name the same job as `job_id` by the bytes of its id: where many are made at once."""
    return b"%b%c%c%c%b" % (
        created_ms.to_bytes(6, "big"),
        rest[0] & 0x0F | 0x70,
        rest[1],
        rest[2] & 0x3F | 0x80,
        rest[3:],
    )


def id_text(created_ms: int, rest: bytes) -> str:
    """Write the id that `job_id` makes, where it is only ever written: for half of the cost."""
    digits = (created_ms.to_bytes(6, "big") + rest).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def backfill_id(created_ms: int, rest: bytes) -> UUID:
    """Name a backfill, as a job is named: two of the same range are two."""
    return _assemble(created_ms, rest, version=7)


def api_key_id(created_ms: int, rest: bytes) -> UUID:
    """Name an API key, as a job is named."""
    return _assemble(created_ms, rest, version=7)


def scheduled_ms_of(run: UUID) -> int:
    """Read back the nominal time, in epoch milliseconds, from a run's id."""
    return int.from_bytes(run.bytes[:6], "big")


def read_id(text: str) -> UUID | None:
    """Return the id that a word is; None where it is none."""
    if len(text) < HEX_DIGITS:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def looks_like_id(text: str) -> bool:
    """Tell whether a word would be taken for an id where a name or an id may stand."""
    return read_id(text) is not None


def _assemble(ms: int, rest: bytes, version: int) -> UUID:
    if len(rest) != RANDOM_BYTES:
        raise ValueError(f"the rest of an id is {RANDOM_BYTES} bytes, not {len(rest)}")
    value = int.from_bytes(ms.to_bytes(6, "big") + rest, "big")
    value &= ~(0xF000 << 64) & ~(0xC000 << 48)
    value |= (version << 76) | (0x8000 << 48)
    return UUID(int=value)
