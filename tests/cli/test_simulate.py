"""`simulate`: what jobs will do, said in words and numbers, and limits that fail."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from asking import Cli
from factories import body
from scheduler_svc.store.pool import Pool

pytestmark = pytest.mark.timeout(120)
NIGHT = ("--from", "2026-10-24T12:00:00Z", "--to", "2026-10-26T00:00:00Z")
FILE = """\
version: 1
jobs:
- name: night
  schedule: {cron: 30 2 * * *, timezone: Europe/Berlin}
  target: {url: https://a.test/}
- name: often
  schedule: {every: 5m}
  target: {url: https://b.test/}
- name: crowd
  schedule: {cron: 0 * * * *}
  target: {url: https://b.test/}
  overlap: allow
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "jobs.yaml"
    path.write_text(FILE)
    return str(path)


async def test_a_file_is_simulated_without_a_service(offline: Cli, file: str) -> None:
    told = await offline("simulate", "-f", file, *NIGHT)
    assert told.code == 0, told.err
    assert "jobs           3" in told.out
    assert "30 exists twice and runs in the first pass" in told.out
    found = (await offline("simulate", "-f", file, *NIGHT, "--json")).json
    assert (found["from"], found["to"]) == ("2026-10-24T12:00:00Z", "2026-10-26T00:00:00Z")
    assert found["sent"] == 1 + 36 * 12 + 36
    assert found["per_minute"]["peak"] == {"count": 2, "at": "2026-10-24T12:00:00Z"}
    assert found["per_minute"]["p99"] == 2
    assert [(host["host"], host["sent"]) for host in found["hosts"]] == [
        ("b.test", 36 * 13),
        ("a.test", 1),
    ]
    assert [one["job"] for one in found["dst"]] == ["night"]
    assert (found["overlaps"], found["misfires"], found["limits"]) == ([], [], [])


async def test_durations_make_overlaps_and_outages_misfires(offline: Cli, file: str) -> None:
    away = ("--outage", "2026-10-25T10:30:00Z/2026-10-25T14:10:00Z")
    lasting = ("--duration", "1s", "--duration", "often=7m", "--duration", "crowd=90m")
    found = (await offline("simulate", "-f", file, *NIGHT, *lasting, *away, "--json")).json
    overlaps = {one.pop("job"): one for one in found["overlaps"]}
    assert overlaps["often"]["skipped"] > 150
    assert overlaps["crowd"]["beside"] > 20
    misfires = {one.pop("job"): one for one in found["misfires"]}
    assert misfires["crowd"] == {"caught_up": 1, "merged": 3, "misfire": 0, "too_late": 0}
    assert misfires["often"]["merged"] == 44
    told = await offline("simulate", "-f", file, *NIGHT, *lasting, *away)
    assert "overlaps of" in told.out
    assert "misfires of" in told.out


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ("max-per-minute", 2),
        ("max-per-minute-host", 2),
        ("max-in-flight", 2),
        ("max-overlaps", 0),
        ("max-misfires", 0),
    ],
)
async def test_a_limit_fails_where_more_is_found_and_only_there(
    offline: Cli, file: str, limit: str, allowed: int
) -> None:
    kept = await offline("simulate", "-f", file, *NIGHT, f"--{limit}", str(allowed))
    assert (kept.code, kept.err) == (0, "")
    more = "- {name: x, schedule: {cron: 0 * * * *}, target: {url: https://b.test/}}\n"
    Path(file).write_text(FILE + more)
    away = ("--outage", "2026-10-25T10:30:00Z/2026-10-25T14:10:00Z", "--duration", "6m")
    told = await offline("simulate", "-f", file, *NIGHT, *away, f"--{limit}", str(allowed))
    assert (told.code, f"--{limit} allows {allowed};" in told.err) == (5, True)
    found = (
        await offline("simulate", "-f", file, *NIGHT, *away, f"--{limit}", str(allowed), "--json")
    ).json
    (judged,) = found["limits"]
    assert (judged["limit"], judged["allowed"], judged["exceeded"]) == (limit, allowed, True)


async def test_the_jobs_of_a_service_are_simulated_by_what_it_knows_of_them(
    cli: Cli, http: httpx2.AsyncClient, pool: Pool
) -> None:
    for name in ("a", "paused", "until"):
        sent = body(name=name, schedule={"cron": "*/10 * * * *"})
        assert (await http.post("/jobs", json=sent)).status_code == 201
    at = body(schedule={"at": "2026-01-05T07:00:00Z", "if_past": "skip"})
    assert (await http.post("/jobs", json=at)).json()["state"] == "completed"
    await http.post("/jobs/paused/pause")
    until = {"until": "2026-01-05T12:00:00Z"}
    assert (await http.post("/jobs/until/pause", json=until)).status_code == 200
    await http.post("/jobs/a/trigger")
    await pool.execute(
        "UPDATE runs SET status = 'succeeded', attempt_count = 1, started_at = scheduled_for,"
        " finished_at = scheduled_for + interval '25 min', next_attempt_at = NULL,"
        " duration_ms = 1500000 WHERE trigger = 'manual'"
    )
    day = ("--from", "2026-01-05T09:00:00Z", "--to", "2026-01-05T15:00:00Z")
    found = (await cli("simulate", *day, "--json")).json
    assert (found["jobs"], found["left_out"]) == (2, {"paused": 1, "completed": 1})
    assert {one["job"]: one["skipped"] for one in found["overlaps"]} == {"a": 24}
    assert found["sent"] == 12 + 18
    quick = (await cli("simulate", *day, "--json", "--history", "0")).json
    assert (quick["overlaps"], quick["sent"]) == ([], 36 + 18)
    named = (await cli("simulate", *day, "--json", "--duration", "until=11m")).json
    assert {one["job"] for one in named["overlaps"]} == {"a", "until"}
    told = (await http.get("/runs")).json()["items"]
    assert {one["trigger"] for one in told if one["status"] != "skipped"} == {"manual"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--from", "2026-01-05T09:00:00"), "needs an offset"),
        (("--from", "soon"), "is no instant"),
        (("--from", "2026-01-05T09:00:00Z", "--to", "2026-01-05T09:00:00Z"), "must lie before"),
        (("--outage", "2026-01-05T09:00:00Z"), "FROM/TO"),
        (("--outage", "2026-01-05T09:00:00Z/2026-01-05T08:00:00Z"), "ends before"),
        (("--duration", "often=long"), "not a duration"),
        (("--label", "a:b"), "choose among"),
    ],
)
async def test_what_can_not_be_meant_is_said(
    offline: Cli, file: str, arguments: tuple[str, ...], why: str
) -> None:
    told = await offline("simulate", "-f", file, *arguments)
    assert (told.code, why in told.err) == (2, True), told.err


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (("30 2 *", "61 2 *"), "jobs.yaml:4: job 'night' /schedule/cron"),
        (("{every: 5m}", "{evry: 5m}"), "jobs.yaml:6: job 'often'"),
        (("overlap: allow", "overlap: maybe"), "jobs.yaml:9: job 'crowd'"),
    ],
)
async def test_a_job_that_no_service_takes_is_named_with_its_line(
    offline: Cli, file: str, wrong: Any, place: str
) -> None:
    Path(file).write_text(FILE.replace(*wrong))
    told = await offline("simulate", "-f", file)
    assert (told.code, place in told.err) == (2, True), told.err
