"""Archiving: a day that was taken off is written to a file before it is dropped.

Promises that a day is dropped only when its file is whole, was read back and bears its name, with a
manifest beside it; that one replica does it; that a kill at any point costs a page, and a fault of
the disk nothing: the day stays, and is tried again. Pages are small and apart, so that what fires
does not feel it.
"""

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine import archive_file
from scheduler_svc.engine.archive_file import ArchiveFault
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import archives, partitions
from scheduler_svc.store.archives import Archive, Turn
from scheduler_svc.store.pool import connection

T = TypeVar("T")

PAGE_RUNS = 2000
PAUSE_SECONDS = 0.05
CALL_SECONDS = 30.0
MANIFEST = 1


async def archive_days(parts: Parts, folder: Path) -> list[str]:
    """Write every day that was taken off, oldest first, and drop it; return those that are gone."""
    async with connection(parts.pool) as conn:
        waiting = await partitions.retired(conn)
    gone = []
    for name in waiting:
        try:
            if not await archive_day(parts, folder, name):
                break
        except ArchiveFault as fault:
            parts.on_event(EventName.ARCHIVE_FAILED, name=name, error=str(fault))
            break
        async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
            if await partitions.discard(conn, name):
                gone.append(name)
    return gone


async def _on_disk(step: Callable[..., T], /, *args: Any, **named: Any) -> T:
    """Make a step that waits for the disk; its faults are the file's and not the database's."""
    try:
        return await asyncio.to_thread(step, *args, **named)
    except (OSError, zlib.error) as error:
        raise ArchiveFault(str(error)) from error


async def archive_day(parts: Parts, folder: Path, name: str) -> bool:
    """Bring one day into its place; False where another replica is at it."""
    turn = Turn(partitions.day_of(name), parts.replica)
    async with connection(parts.pool) as conn:
        far = await archives.claim(conn, turn, now_ms=parts.clock.now_ms())
        columns = await archives.columns(conn, name)
    if far is None:
        return False
    if not columns:
        return True  # another replica has ended it and dropped the day
    part = archive_file.part_of(folder, turn.day)
    if far.state == "copying":
        if far.bytes and not await _on_disk(archive_file.has, part, far.bytes):
            far = await _restarted(parts, turn)
        sealed = None if far is None else await _sealed(parts, turn, name, part, far)
    else:
        sealed = far
    if sealed is None or sealed.file is None or sealed.sha256 is None:
        return False
    return await _placed(parts, turn, part, sealed, columns)


async def _restarted(parts: Parts, turn: Turn) -> Archive | None:
    """Begin anew: what was written is not here, but on the disk of another host perhaps."""
    async with connection(parts.pool) as conn:
        mine = await archives.restart(conn, turn)
    return Archive(state="copying") if mine else None


async def _sealed(parts: Parts, turn: Turn, name: str, part: Path, far: Archive) -> Archive | None:
    """Write what is missing, read all of it back, and choose its name."""
    while True:
        following = await _paged(parts, name, part, far)
        if following is None:
            break
        far = following
        async with connection(parts.pool) as conn:
            if not await archives.note_page(conn, turn, far, now_ms=parts.clock.now_ms()):
                return None
        await asyncio.sleep(PAUSE_SECONDS)
    try:
        sha256 = await _on_disk(
            archive_file.digest, part, size=far.bytes, plain_bytes=far.plain_bytes
        )
    except ArchiveFault:
        await _restarted(parts, turn)  # the next round writes it anew
        raise
    file = await _on_disk(archive_file.free_name, part.parent, turn.day)
    async with connection(parts.pool) as conn:
        if not await archives.seal(conn, turn, file=file, sha256=sha256):
            return None
    return structs.replace(far, state="sealed", file=file, sha256=sha256)


async def _paged(parts: Parts, name: str, part: Path, far: Archive) -> Archive | None:
    """Write the next page; None where there is none."""
    page = bytearray()

    async def keep(text: bytes) -> None:
        page.extend(text)

    async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
        upto = await archives.page_end(conn, name, far, at_most=PAGE_RUNS)
        if upto is None and far.after_at is not None:
            return None
        last = upto or (instant_at(0), parts.replica)  # an empty day: a file with a head
        runs = await archives.copy_page(conn, name, far, last, keep)
    size = await _on_disk(archive_file.append, part, far.bytes, bytes(page))
    return structs.replace(
        far,
        runs=far.runs + runs,
        bytes=size,
        plain_bytes=far.plain_bytes + len(page),
        after_at=last[0],
        after_id=last[1],
    )


async def _placed(
    parts: Parts, turn: Turn, part: Path, sealed: Archive, columns: list[str]
) -> bool:
    """Give the file its name, and its manifest; note that it is there."""
    final = part.with_name(sealed.file or "")
    if sealed.state == "sealed":
        named = await _on_disk(archive_file.place, part, final, sealed.sha256 or "")
        if not named:  # neither under its name nor under the other: the next round begins anew
            await _restarted(parts, turn)
            return False
        now_ms = parts.clock.now_ms()
        told = {
            "manifest": MANIFEST,
            "day": f"{turn.day:%Y-%m-%d}",
            "file": final.name,
            "format": "csv, gzip, UTF-8, with a head",
            "runs": sealed.runs,
            "bytes": sealed.bytes,
            "plain_bytes": sealed.plain_bytes,
            "sha256": sealed.sha256,
            "columns": columns,
            "archived_at": instant_at(now_ms).isoformat(),
        }
        await _on_disk(archive_file.write_manifest, final, told)
        async with connection(parts.pool) as conn:
            if not await archives.end(conn, turn, now_ms=now_ms):
                return False
        parts.on_event(EventName.HISTORY_ARCHIVED, name=turn.day, runs=sealed.runs, file=str(final))
    return True
