"""The file of a day: written page by page, read back whole, and only then given its name.

Promises that a page which is not whole is written over; that a file bears its name only with all of
it on the disk; that no file of that name is ever written over. All of it blocks, so it is called in
a thread. Knows nothing of the database.
"""

import fcntl
import gzip
import hashlib
import json
import os
import zlib
from datetime import date
from pathlib import Path
from typing import Any

LEVEL = 6
BLOCK = 1 << 20


class ArchiveFault(Exception):
    """What was read back is not what was written."""


def part_of(folder: Path, day: date) -> Path:
    """Name the file while it is being written."""
    return folder / f".runs-{day:%Y-%m-%d}.csv.gz.part"


def has(path: Path, size: int) -> bool:
    """Tell whether so many bytes of a file are there."""
    return path.is_file() and path.stat().st_size >= size


def append(path: Path, at: int, text: bytes) -> int:
    """Put a page behind the first `at` bytes, as a gzip member of its own; return the new size.

    A process that still writes here, frozen perhaps, holds its lock: BlockingIOError then.
    """
    member = gzip.compress(text, LEVEL, mtime=0)
    with path.open("r+b" if path.exists() else "xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(at)
        file.seek(at)
        file.write(member)
        file.flush()
        os.fsync(file.fileno())
    return at + len(member)


def digest(path: Path, *, size: int, plain_bytes: int) -> str:
    """Read the file back, cut to its size; return its SHA-256, raise ArchiveFault where it is not
    what was written.
    """
    os.truncate(path, size)
    whole = hashlib.sha256()
    plain = 0
    unpack = zlib.decompressobj(31)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
            while block:
                plain += len(unpack.decompress(block))
                block = unpack.unused_data
                if unpack.eof:
                    unpack = zlib.decompressobj(31)
    if plain != plain_bytes:
        raise ArchiveFault(f"{path.name}: {plain_bytes} bytes were written, {plain} read back")
    return whole.hexdigest()


def free_name(folder: Path, day: date) -> str:
    """Return a name that no file has: a database that was restored may archive a day again."""
    name = f"runs-{day:%Y-%m-%d}.csv.gz"
    number = 1
    while (folder / name).exists():
        number += 1
        name = f"runs-{day:%Y-%m-%d}.{number}.csv.gz"
    return name


def place(part: Path, final: Path, sha256: str) -> bool:
    """Give the file its name, or find that it has it; False where neither is here."""
    if part.exists():
        part.rename(final)
    elif not (final.is_file() and _sha256(final) == sha256):
        return False
    _sync(final.parent)
    return True


def write_manifest(final: Path, told: dict[str, Any]) -> None:
    """Write beside a file what is in it."""
    path = final.with_name(final.name.removesuffix(".csv.gz") + ".json")
    part = path.with_name(f".{path.name}.part")
    with part.open("w") as file:
        file.write(json.dumps(told, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    _sync(path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Have the names of a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
