"""Whether the key ring of this host opens every secret that is stored."""

from collections import Counter
from pathlib import Path

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.domain.secrecy import (
    IDENTITY,
    NAMED,
    SIGNING,
    change_target,
    place_of,
    place_of_target,
)
from scheduler_svc.service.key_ring import FILE, KeyFileRefused, key_ring
from scheduler_svc.settings import Settings
from scheduler_svc.store import doctor
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import DEFINITION
from scheduler_svc.store.vault import KeyMissing, KeyRing, Unopenable, is_sealed, key_of

AT_MOST = 2000
DAMAGED = "damaged"
KINDS = {"named secret": NAMED, "signing secret": SIGNING}


async def look(around: Surroundings, conn: Connection) -> list[Finding]:
    """Try to open what is sealed; of very many only the first."""
    try:
        ring = _ring(around.settings)
    except KeyFileRefused as refused:
        return [
            fault(
                "secrets.key_file",
                str(refused),
                "no secret can be opened or kept",
                f"mend {around.settings.data_dir}/{FILE}, or set SCHEDULER_SECRET_KEYS",
            )
        ]
    tried = _Tried(ring)
    for row in await doctor.sealed(conn, at_most=AT_MOST):
        kind = KINDS.get(row.kind)
        place = place_of("", IDENTITY, row.name)
        tried.open(row.sealed, place if kind is None else place_of(row.namespace, kind, row.name))
    for job_id, namespace, text in await doctor.sealed_jobs(conn, at_most=AT_MOST):
        place_at = place_of_target(namespace, job_id)
        change_target(
            DEFINITION.decode(text).target,
            lambda where, value, at=place_at: tried.open(value, at(where)),  # type: ignore[misc]
        )
    return tried.findings()


def _ring(settings: Settings) -> KeyRing | None:
    """Return the ring; in development the file is not made where it is not there."""
    if settings.secret_keys or (Path(settings.data_dir) / FILE).exists():
        return key_ring(settings)
    return None


class _Tried:
    """What could not be opened, by key, and what is sealed with another key than the newest."""

    def __init__(self, ring: KeyRing | None) -> None:
        self._ring = ring
        self.missing: Counter[str] = Counter()
        self.older: Counter[str] = Counter()

    def open(self, value: str, place: str) -> str:
        if not is_sealed(value):
            return value
        if self._ring is None:
            self.missing[key_of(value)] += 1
            return value
        try:
            self._ring.open(value, place)
        except KeyMissing as error:
            self.missing[error.key_id] += 1
        except Unopenable:
            self.missing[DAMAGED] += 1
        else:
            self.older[key_of(value)] += not self._ring.is_newest(value)
        return value

    def findings(self) -> list[Finding]:
        found = [
            fault(
                "secrets.damaged" if key == DAMAGED else "secrets.key_missing",
                f"{count} sealed secrets are damaged, or not where they were sealed for"
                if key == DAMAGED
                else f"{count} secrets are sealed with the key {key}, which is not in the ring",
                "what needs them is blocked",
                "set them anew: PUT /secrets/{name}, or the job's target"
                if key == DAMAGED
                else "add that key behind the others in SCHEDULER_SECRET_KEYS, then"
                " `scheduler-svc reseal`; without it, set these secrets anew",
            )
            for key, count in sorted(self.missing.items())
        ]
        return found + [
            warning(
                "secrets.older_key",
                f"{count} secrets are sealed with the older key {key}",
                "that key can not be taken out of the ring",
                "scheduler-svc reseal",
            )
            for key, count in sorted(self.older.items())
            if count
        ]
