"""From the folder that a scenario leaves to evidence: the receiver's log, the API's records, the
driver's history. Nothing else is looked at, so a folder can be judged again at any time.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaos.checker.evidence import (
    Attempt,
    Call,
    Evidence,
    Fault,
    Job,
    Kept,
    Request,
    Run,
    Sample,
    Stall,
)
from chaos.checker.timeline import Timeline

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
Note = dict[str, Any]


def read(folder: Path, *, lease_ms: float = 15_000.0, takes_ms: float = 0.0) -> Evidence:
    """Read all that a scenario left."""
    notes = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    of_kind: dict[str, list[Note]] = {}
    for note in notes:
        of_kind.setdefault(note["kind"], []).append(note)
    line = Timeline((n["asked"], n["answered"], n["database"]) for n in of_kind["clock"])
    read_ms = line.bounds(of_kind["read"][-1]["read"])[0]
    horizon_ms = max(n["database"] for n in of_kind["clock"]) + 1000 if line.steps else 0.0
    ids = {note["pid"]: note["id"] for note in of_kind.get("replica", ())}
    jobs = [_job(note) for note in of_kind.get("job", ())]
    runs = [_run(one) for one in json.loads((folder / "runs.json").read_text())]
    kept = {one["id"]: one for one in json.loads((folder / "jobs.json").read_text())}
    return Evidence(
        jobs=jobs,
        runs=[run for run in runs if run.scheduled_ms <= max(read_ms, horizon_ms)],
        requests=_requests(folder, line, of_kind["read"][-1]["read"]),
        read_ms=read_ms,
        calls=[*_calls(of_kind, jobs, line), *_writes(of_kind, kept, line)],
        faults=_faults(notes, line, ids),
        samples=[
            Sample(line.latest(n["at"]), n["id"], n["status"], n["reason"], _ms(n["finished_at"]))
            for n in of_kind.get("sample", ())
        ],
        stalls=_stalls(folder, line),
        lease_ms=lease_ms,
        takes_ms=takes_ms,
        kept={job: _kept(one) for job, one in kept.items() if "target" in one},
        horizon_ms=horizon_ms,
    )


def _ms(text: str | None) -> float | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000, 3)


def _sure(text: str) -> float:
    return round(datetime.fromisoformat(text).timestamp() * 1000, 3)


def _job(note: Note) -> Job:
    number = note["grace"].rstrip("msdh")
    grace = float(number) * UNITS[note["grace"].removeprefix(number)]
    return Job(
        note["id"],
        note["name"],
        note["schedule"],
        _sure(note["created_at"]),
        note["overlap"],
        grace,
        *_misfire(note.get("misfire", {})),
    )


def _misfire(said: Note) -> tuple[str, float | None]:
    """Read a policy, and its `max_lateness`."""
    lateness = said.get("max_lateness")
    if lateness is None:
        return said.get("policy", "once"), None
    number = lateness.rstrip("msdh")
    return said["policy"], float(number) * UNITS[lateness.removeprefix(number)]


def _kept(one: Note) -> Kept:
    path = urlsplit(one["target"]["url"]).path
    return Kept(one["schedule"], path, one["state"] == "paused")


def _run(one: Note) -> Run:
    return Run(
        id=one["id"],
        job=one["job_id"],
        trigger=one["trigger"],
        scheduled_ms=_sure(one["scheduled_for"]),
        occurrences=one["occurrences"],
        until_ms=_ms(one["scheduled_until"]),
        status=one["status"],
        reason=one["reason"],
        attempt_count=one["attempt_count"],
        claimed_ms=_ms(one["claimed_at"]),
        finished_ms=_ms(one["finished_at"]),
        replica=one["replica"],
        attempts=[
            Attempt(
                each["number"],
                each["outcome"],
                each["status_code"],
                each["replica"],
                _sure(each["started_at"]),
            )
            for each in one["attempts"]
        ],
    )


def _requests(folder: Path, line: Timeline, read_at: float) -> list[Request]:
    """Join the two lines of each call; one without its second was still open."""
    ends: dict[str, tuple[float, str]] = {}
    begins: list[list[str]] = []
    for text in (folder / "calls.log").read_text().splitlines():
        fields = text.split("\t")
        if fields[0] == "E":
            ends[fields[2]] = (float(fields[1]) * 1000, fields[3])
        elif len(fields) == 10 and float(fields[1]) * 1000 <= read_at:
            begins.append(fields)
    found = []
    for _, at, key, _, run, attempt, scheduled, idempotency, job, path in begins:
        low, high = line.bounds(float(at) * 1000)
        ended = ends.get(key)
        found.append(
            Request(
                run=run,
                job=job,
                attempt=int(attempt),
                scheduled_ms=_sure(scheduled),
                key=idempotency,
                path=path,
                at_ms=high,
                ended_ms=line.latest(read_at) if ended is None else line.latest(ended[0]),
                status=None if ended is None or ended[1] == "-" else int(ended[1]),
                doubt_ms=high - low,
                real_ms=(float(at) * 1000, read_at if ended is None else ended[0]),
            )
        )
    return found


def _calls(of_kind: dict[str, list[Note]], jobs: list[Job], line: Timeline) -> list[Call]:
    """Changes by callers; a resume after a lost answer says which edit holds."""
    known = {job.name: job for job in jobs}
    found = []
    for note in of_kind.get("call", ()):
        job = known[note["name"]]
        found.append(
            Call(
                verb="path" if note["verb"] == "edit" else note["verb"],
                job=job.id,
                sent_ms=line.bounds(note["sent"])[0],
                acked_ms=None if note["acked"] is None else line.latest(note["acked"]),
                status=note["status"],
                path=note["path"],
                run=note["run"],
            )
        )
    return found


def _writes(of_kind: dict[str, list[Note]], kept: dict[str, Note], line: Timeline) -> list[Call]:
    """Jobs that were acknowledged: each has to be there, under the id that was told, as asked."""
    return [
        Call(
            "create",
            note["id"],
            line.bounds(note["at"])[0],
            line.latest(note["at"]),
            201,
            path=urlsplit(note["target"]["url"]).path if "target" in note else None,
            run=None if kept.get(note["id"], {}).get("name") == note["name"] else "gone",
            asked=note.get("schedule"),
        )
        for note in of_kind.get("written", ())
    ]


def _faults(notes: list[Note], line: Timeline, ids: dict[int, str]) -> list[Fault]:
    """Pair what began with what was over; by process, for a replica that comes again is another."""
    open_faults: dict[tuple[str, str], Note] = {}
    found = []
    end = notes[-1]["at"]
    for note in notes:
        key = (note.get("fault", ""), ",".join(note.get("names", ())))
        if note["kind"] == "fault":
            open_faults[key] = note
        elif note["kind"] == "healed" and key in open_faults:
            found.append(_fault(open_faults.pop(key), note["at"], line, ids))
    found += [_fault(note, end, line, ids) for note in open_faults.values()]
    return found


def _fault(note: Note, until: float, line: Timeline, ids: dict[int, str]) -> Fault:
    whose = frozenset(ids.get(pid, f"process {pid}") for pid in note["replicas"])
    return Fault(note["fault"], line.bounds(note["at"])[0], line.latest(until), whose)


def _stalls(folder: Path, line: Timeline) -> list[Stall]:
    file = folder / "canary.log"
    rows = file.read_text().splitlines() if file.exists() else []
    pairs = (row.split("\t") for row in rows)
    return [Stall(line.latest(float(at) * 1000), float(ms)) for at, ms in pairs]
