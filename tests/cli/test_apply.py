"""`apply` and `export`: a plan that people read, one request, and the same file back."""

import json
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import jsonschema
import pytest

from asking import Cli
from domain.lives import a_schedule
from factories import MORNING_MS, Json, body

pytestmark = pytest.mark.timeout(120)
DAY = 86_400_000
FILE = """\
version: 1
owner: team-billing
defaults:
  schedule: {timezone: Europe/Berlin}
  target: {timeout: 90s}
jobs:
- name: report
  schedule: {cron: 0 9 * * MON-FRI}
  target: {url: https://example.com/report}
- name: sweep
  schedule: {every: 5m, timezone: null}
  target:
    url: https://example.com/sweep
    headers: {X-Since: 2026-01-05}
  retry:
    on: [429, 5xx]
"""


async def names(http: httpx2.AsyncClient) -> list[str]:
    listed = (await http.get("/jobs?sort=name&limit=500")).json()["items"]
    return [job["name"] for job in listed]


async def test_a_file_is_planned_applied_changed_and_pruned(
    cli: Cli, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(FILE)
    asked = ("apply", "-f", "jobs.yaml")
    planned = await cli(*asked, "--dry-run")
    assert (planned.code, await names(http)) == (0, [])
    assert "+ report  cron 0 9 * * MON-FRI (Europe/Berlin)" in planned.out
    assert "Plan: 2 to create, 0 to change, 0 to delete, 0 unchanged." in planned.out
    assert (await cli(*asked, "--dry-run", "--detailed-exitcode")).code == 5
    done = await cli(*asked)
    assert (done.code, "Done: 2 created" in done.out) == (0, True), done
    sweep = (await http.get("/jobs/sweep")).json()
    assert sweep["target"]["headers"] == {"X-Since": "2026-01-05"}
    assert (sweep["target"]["timeout"], sweep["schedule"]["timezone"]) == ("1m30s", "UTC")
    assert sweep["labels"] == {"scheduler.owner": "team-billing"}
    again = await cli(*asked, "--dry-run", "--detailed-exitcode")
    assert (again.code, again.out) == (
        0,
        "Plan: 0 to create, 0 to change, 0 to delete, 2 unchanged.\n",
    )
    path.write_text(FILE.replace("0 9 * *", "30 9 * *").partition("- name: sweep")[0])
    planned = await cli(*asked, "--dry-run", "--prune")
    assert "~ report" in planned.out
    assert '/schedule/cron: "0 9 * * MON-FRI" -> "30 9 * * MON-FRI"' in planned.out
    assert "    would: 2026-01-05T09:30:00+01:00, 2026-01-06T09:30:00+01:00; 0.7143 a day" in (
        planned.out
    )
    assert "- sweep" in planned.out
    told = (await cli(*asked, "--prune", "--json")).json
    assert (told["changed"], told["deleted"]) == (1, 1)
    assert await names(http) == ["report"]


async def test_each_fault_is_named_with_its_file_line_and_job(
    cli: Cli, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    bad = FILE.replace("0 9 *", "61 9 *").replace("5m,", "soon,").replace("90s", "no time")
    (tmp_path / "jobs.yaml").write_text(bad)
    told = await cli("apply", "-f", "jobs.yaml")
    assert (told.code, await names(http)) == (1, [])
    assert "jobs.yaml:8: job 'report' /schedule/cron:" in told.err
    assert "jobs.yaml:11: job 'sweep' /schedule/every:" in told.err
    assert "jobs.yaml:5: job 'report' /target/timeout:" in told.err  # it stands in the defaults
    answer = await cli("apply", "-f", "jobs.yaml", "--json")
    errors = json.loads(answer.err)["errors"]
    assert {error["job"] for error in errors} == {"report", "sweep"}
    (tmp_path / "jobs.yaml").write_text(FILE.replace("X-Since", "Host"))
    told = await cli("apply", "-f", "jobs.yaml")
    assert "jobs.yaml:14: job 'sweep' /target/headers/Host:" in told.err
    (tmp_path / "jobs.yaml").write_text("version: 1\njobs:\n- name: [\n")
    told = await cli("apply", "-f", "jobs.yaml")
    assert (told.code, "jobs.yaml:4" in told.err) == (2, True), told


async def test_what_would_delete_more_than_was_meant_is_asked_for_in_words(
    cli: Cli, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text(FILE)
    (tmp_path / "none.yaml").write_text("version: 1\njobs: []\n")
    assert (await cli("apply", "-f", "jobs.yaml")).code == 0
    assert (await cli("apply", "-f", "none.yaml", "--prune")).code == 2
    told = await cli("apply", "-f", "none.yaml", "--prune", "--owner", "team-billing")
    assert (told.code, "--allow-empty" in told.err) == (2, True)
    taken = await cli("apply", "-f", "none.yaml", "-f", "jobs.yaml", "--owner", "sales")
    assert (taken.code, "team-billing" in taken.err) == (2, True)
    (tmp_path / "jobs.yaml").write_text(FILE.replace("team-billing", "sales"))
    taken = await cli("apply", "-f", "jobs.yaml")
    assert (taken.code, "is kept by 'team-billing'" in taken.err) == (1, True)
    assert (await cli("apply", "-f", "jobs.yaml", "--take-over")).code == 0
    emptied = ("apply", "-f", "none.yaml", "--prune", "--owner", "sales", "--allow-empty")
    assert (await cli(*emptied)).code == 0
    assert await names(http) == []
    assert (await cli("apply")).code == 2


def many(count: int) -> list[Json]:
    """Jobs of every kind, with bodies that are hard to write."""
    draw = Random(9)
    bodies: list[Any] = [
        None, "on", "1:30", "0o17", 1, 1.5, 1e22, 1e-7, 2**60, True, [], {}, "", " a\nb \n",
        "é\u2028", {"on": {"no": None, "~": "~", "": [[], {}, "x\ty"], "multi": "a\n  b\n\nc\n"}},
    ]  # fmt: skip
    made = []
    for number in range(count):
        kind = draw.choice(["cron", "every", "at"])
        schedule = a_schedule(
            kind,
            draw,
            MORNING_MS,
            begin=MORNING_MS,
            end=MORNING_MS + 9 * 365 * DAY,
            spread=number % 5 == 0,
        )
        if kind == "at":
            schedule["if_past"] = draw.choice(["run", "skip"])
        headers = (
            {"Authorization": f"Bearer {number}"} if number % 4 == 0 else {"X-Z": "on", "A": ""}
        )
        made.append(
            body(
                name=f"j{number:03}",
                schedule=schedule,
                target={"headers": headers, "body": draw.choice(bodies), "timeout": "90s"},
                labels={"z": "1:30", "a": "no", "plain": "no" if number % 4 == 0 else "yes"},
                description=draw.choice(["", "two\nlines", "# not a comment", "yes"]),
                retry=draw.choice([{}, {"on": [500, "5xx"]}, {"delays": ["1s", "90s"]}]),
                retention=draw.choice([None, {"age": "48h"}]),
                priority=draw.choice([0, 7]),
            )
        )
    return made


async def made(http: httpx2.AsyncClient, jobs: list[Json]) -> int:
    """Create those of many jobs that are good, for what is drawn by lot is not always."""
    answer = await http.post("/jobs/bulk?partial=true", json={"jobs": jobs})
    count: int = answer.json()["created"]
    assert count > len(jobs) * 0.8, answer.text
    return count


async def test_an_export_is_applied_without_any_change_and_exported_the_same_again(
    cli: Cli, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    count = await made(http, many(200))
    assert (await http.post("/jobs", json=body())).status_code == 201  # without a name
    told = await cli("export")
    assert (told.code, "1 jobs have no name" in told.err) == (0, True)
    assert "Authorization: '***'" in told.out
    for file, text in (("e.yaml", told.out), ("e.json", (await cli("export", "--json")).out)):
        (tmp_path / file).write_text(text)
        plan = (await cli("apply", "-f", file, "--dry-run", "--json")).json
        assert (plan["unchanged"], plan["items"]) == (count, [])
    assert (await cli("apply", "-f", "e.yaml", "--owner", "me")).code == 0
    owned = (await cli("export", "--owner", "me", "--label", "plain:yes")).out
    assert owned.startswith("version: 1\nowner: me\njobs:\n- name: j001\n")
    assert "scheduler.owner" not in owned
    await http.post("/jobs/bulk-actions", json={"action": "delete", "filter": {"q": "j"}})
    assert await names(http) == [None]
    (tmp_path / "owned.yaml").write_text(owned)
    assert (await cli("apply", "-f", "owned.yaml")).code == 0
    assert (await cli("export", "--owner", "me")).out == owned


async def test_the_schema_takes_what_the_service_takes_and_refuses_what_is_misspelt(
    cli: Cli, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    schema = (await cli("apply", "--schema")).json
    served = await http.get("/schemas/jobs-file.json")
    assert (served.json(), served.headers["content-type"]) == (schema, "application/schema+json")
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    await made(http, many(50))
    judge.validate((await cli("export", "--json")).json)
    with_defaults = {
        "version": 1,
        "owner": "a/b",
        "defaults": {"target": {"url": "https://a.test/"}, "schedule": {"every": "1h"}},
        "jobs": [{"name": "a", "schedule": {"every": None, "cron": "0 9 * * *"}}],
    }
    judge.validate(with_defaults)
    job = body(name="a")
    wrongs: list[Json] = [
        {"jobs": []},
        {"version": 2, "jobs": []},
        {"version": 1, "jobs": [body()]},
        {"version": 1, "jobs": [{**job, "shedule": {}}]},
        {"version": 1, "jobs": [{**job, "priority": "high"}]},
        {"version": 1, "jobs": [{**job, "overlap": "maybe"}]},
        {"version": 1, "jobs": [{**job, "target": {"url": 1}}]},
        {"version": 1, "jobs": [{**job, "state": "paused"}]},
        {"version": 1, "jobs": [], "defaults": {"name": "a"}},
        {"version": 1, "jobs": [], "owner": "-"},
    ]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            judge.validate(wrong)
