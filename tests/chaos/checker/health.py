"""Judges what replicas say of themselves while the database is away: the truth, and in time.

Within ten seconds of its loss readiness fails, within ten of its return it holds again; meanwhile
callers are refused with 503 in less than five seconds; being alive is answered at once throughout.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.checker.evidence import Finding

TRUTH_MS, REFUSAL_MS, ALIVE_MS = 10_000.0, 5_000.0, 100.0
OF_DATABASE = frozenset({"restart", "freeze", "promotion"})
BY_REPLICA = frozenset({"cut", "pause", "kill", "leave"})
LEAVES = frozenset({"term", "renew"})
"""Steps by which one is asked to leave, and comes again: nobody answers at its place between."""


@dataclass(frozen=True)
class Probe:
    """One question to one replica, and its answer; monotonic milliseconds."""

    replica: str
    path: str
    status: int
    at: float
    took: float


@dataclass(frozen=True)
class Outage:
    """When a replica could not reach the database, or was not there at all."""

    kind: str
    begin: float
    end: float
    names: frozenset[str]

    def of(self, replica: str) -> bool:
        return not self.names or replica in self.names


def read_health(folder: Path) -> tuple[list[Probe], list[Outage], list[tuple[float, float]]]:
    """Read probes, outages and when the machine stood still."""
    notes = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    probes = [
        Probe(n["replica"], n["path"], n["status"], n["at"] - n["took"], n["took"])
        for n in notes
        if n["kind"] == "probe"
    ]
    rows = (line.split("\t") for line in (folder / "canary.log").read_text().splitlines())
    return probes, list(_outages(notes)), [(float(at) * 1000, float(ms)) for at, ms in rows]


def _outages(notes: list[dict[str, Any]]) -> Iterator[Outage]:
    began: dict[tuple[str, str], float] = {}
    left: dict[str, float] = {}
    for note in notes:
        if note["kind"] == "step" and note["act"] in LEAVES:
            left[note["on"]] = note["at"]
        if note["kind"] == "started" and note["replica"] in left:
            names = frozenset({note["replica"]})
            yield Outage("leave", left.pop(note["replica"]), note["at"], names)
        key = (note.get("fault", ""), ",".join(note.get("names", ())))
        if note["kind"] == "fault":
            began[key] = note["at"]
        elif note["kind"] == "started":  # it is ready when it has made its first pass
            yield Outage("start", note["at"] - 1, note["at"], frozenset({note["replica"]}))
        elif note["kind"] == "healed" and key in began:
            yield Outage(key[0], began.pop(key), note["at"], frozenset(note["names"]))


def judge_health(
    probes: list[Probe], outages: list[Outage], stalls: list[tuple[float, float]]
) -> list[Finding]:
    """Hold each answer against what was true then."""
    return [finding for probe in probes for finding in _judge(probe, outages, stalls)]


def _judge(
    probe: Probe, outages: list[Outage], stalls: list[tuple[float, float]]
) -> Iterator[Finding]:
    mine = [one for one in outages if one.of(probe.replica)]
    if any(o.kind in BY_REPLICA - {"cut"} and o.begin - 500 < probe.at + probe.took
           and probe.at < o.end + 500 for o in mine):  # fmt: skip
        return
    away = [one for one in mine if one.kind in OF_DATABASE | {"cut", "start"}]
    within = next((one for one in away if one.begin < probe.at < one.end), None)
    near = any(one.begin - TRUTH_MS < probe.at < one.end + TRUTH_MS for one in away)
    said = f"{probe.replica} {probe.path} said {probe.status} after {probe.took:.0f} ms"
    stood = sum(ms for at, ms in stalls if probe.at - 100 <= at <= probe.at + probe.took + 100)
    over = probe.took - (ALIVE_MS if probe.path == "/healthz" else REFUSAL_MS)
    cause = f"the machine stood still for {stood:.0f} ms" if stood >= over else None
    if probe.path == "/healthz":
        if probe.status != 200:
            yield Finding("not alive", said, at_ms=probe.at)
        elif probe.took > ALIVE_MS:
            yield Finding("slow to say it lives", said, at_ms=probe.at, cause=cause)
    elif within is not None:
        since = probe.at - within.begin
        if probe.path == "/readyz" and probe.status == 200 and since > TRUTH_MS:
            yield Finding("untrue", f"{said}, {since:.0f} ms into an outage", at_ms=probe.at)
        if probe.path != "/readyz" and probe.status not in {200, 503}:
            yield Finding("no refusal", said, at_ms=probe.at)
        if probe.took > REFUSAL_MS:
            yield Finding("slow refusal", said, at_ms=probe.at, cause=cause)
    elif probe.status != 200 and not near:
        yield Finding("untrue", f"{said}, and nothing was wrong", at_ms=probe.at)
