"""Two years of each imported job, beside what its system would have done, by its own rules."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from imports.comparing import FILES, by_name, compare, of_file, options, ours, said
from imports.reading import ENGLISH, crontab, eventbridge, robfig
from imports.reading import english as read_english
from imports.wall import FROM, TO, as_cron, elapsed, first_pass
from scheduler_svc.cli.imports.command import imported
from scheduler_svc.domain.imports.draft import Draft

HOST = "Europe/Berlin"
LEAST = 20


def lines(name: str) -> dict[int, str]:
    """The entries of a table as they stand, by line."""
    listed = enumerate((FILES / name).read_text().splitlines(), 1)
    return {n: line for n, line in listed if re.match(r"[*@0-9]", line)}


def entries(name: str, **more: Any) -> list[tuple[str, Draft]]:
    drafts = of_file("crontab", name, timezone=HOST, **more)
    texts = lines(name)
    assert len(texts) == len(drafts)
    return [(texts[int(draft.source.rpartition(":")[2])], draft) for draft in drafts]


def expression(line: str) -> str:
    return " ".join(line.split()[: 1 if line.startswith("@") else 5])


CRONTAB = [*entries("user.crontab"), *entries("system.crontab", system=True)]


@pytest.mark.parametrize(("line", "draft"), CRONTAB, ids=[line[:24] for line, _ in CRONTAB])
def test_a_crontab_goes_on_as_under_debians_cron(line: str, draft: Draft) -> None:
    if line.startswith("@reboot"):
        assert said(draft, "reboot") == {"not_importable"}
        return
    if "~" in line:
        assert said(draft, "random") == {"differs"}
        assert {at // 60 % 60 for at in ours(draft)} <= set(range(3, 51))
        return
    rule, wild = crontab(expression(line))
    zone = draft.schedule.get("timezone", "UTC")
    compare(draft, elapsed(rule, zone) if wild else as_cron(rule, zone))


def items(document: Any) -> list[dict[str, Any]]:
    return list(document.get("items", [document]))


CRONJOBS = {
    (f"{meta['namespace']}." if meta.get("namespace", "default") != "default" else "")
    + meta["name"]: item["spec"]
    for document in yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())
    for item in items(document)
    if item["kind"] == "CronJob"
    for meta in [item["metadata"]]
}


@pytest.mark.parametrize("name", list(CRONJOBS))
def test_a_cronjob_goes_on_as_under_kubernetes(name: str) -> None:
    draft = by_name(of_file("kubernetes", "kubernetes.yaml", suspended=True))[name]
    spec = CRONJOBS[name]
    match = re.fullmatch(r"(?:CRON_TZ=(\S+) )?(.*)", spec["schedule"])
    assert match
    text = match[2]
    if name == "sunday-is-seven":
        assert said(draft, "syntax") == {"not_importable"}
        return
    if text.startswith("@every"):
        since = 1_795_156_200  # lastScheduleTime
        compare(draft, every(since, 5400))
        return
    zone = match[1] or spec.get("timeZone", "UTC").removeprefix("Etc/")
    nickname = {"@hourly": "0 * * * *", "@annually": "0 0 1 1 *"}
    rule = robfig(nickname.get(text) or DAILY.get(text, text))
    compare(draft, elapsed(rule, zone))


DAILY = {
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


def every(since: int, step: int, until: int | None = None) -> list[int]:
    low, high = int(FROM.timestamp()), until or int(TO.timestamp())
    return [at for at in range(since, high, step) if at >= low]


GOOGLE = {
    job["name"].rpartition("/")[2]: job
    for job in json.loads((FILES / "cloud-scheduler.json").read_text())
}


@pytest.mark.parametrize("name", list(GOOGLE))
def test_a_job_of_google_goes_on_as_its_wall_clock_says(name: str) -> None:
    draft = by_name(of_file("cloud-scheduler", "cloud-scheduler.json", suspended=True))[name]
    job = GOOGLE[name]
    text, zone = job["schedule"], job["timeZone"].removeprefix("Etc/")
    if name == "no-last-day":
        assert said(draft, "syntax") == {"not_importable"}
    elif text == "every 2 hours synchronized":
        compare(draft, every(0, 7200))
    elif text.startswith("every") and text not in ENGLISH:
        assert said(draft, "anchor") == {"differs"}
    else:
        rule = read_english(text) if text in ENGLISH else crontab(text)[0]
        # Nobody publishes the two nights: the report must leave them to a decision.
        compare(draft, elapsed(rule, zone))


AWS = {one["Name"]: one for one in json.loads((FILES / "eventbridge.json").read_text())}
AWS_REFUSED = {
    "once-in-gap": "dst_gap",
    "once-over": "end",
    "both-days": "day_rule",
    "rule-event": "shape",
}


@pytest.mark.parametrize("name", list(AWS))
def test_a_schedule_of_aws_goes_on_as_eventbridge_has_it(name: str) -> None:
    named = "reports.last-friday" if name == "last-friday" else name
    draft = by_name(of_file("eventbridge", "eventbridge.json", suspended=True))[named]
    one = AWS[name]
    if name in AWS_REFUSED:
        assert said(draft, AWS_REFUSED[name]) == {"not_importable"}
        return
    zone = one.get("ScheduleExpressionTimezone", "UTC")
    match = re.fullmatch(r"(\w+)\((.*)\)", one["ScheduleExpression"])
    assert match
    if match[1] == "cron":
        theirs = first_pass(eventbridge(match[2]), zone)
        if name == "windowed":
            theirs = [at for at in theirs if 1_798_790_400 <= at < 1_814_425_200]
        compare(draft, theirs)
    elif match[1] == "at":
        assert ours(draft) == [1_824_942_600]  # 02:30 in the first pass
    elif name == "rate-with-start":
        compare(draft, every(1_796_451_300, 5400, 1_811_808_000))
    elif name == "rate-days":
        assert said(draft, "anchor") == {"decision"}
        assert ours(draft) == every(1_780_000_000, 86_400)
    else:
        assert said(draft, "anchor") == {"differs"}
        assert draft.schedule["spread"] == "4m59s"


DKRON = {job["name"]: job for job in json.loads((FILES / "dkron.json").read_text())}
DKRON_REFUSED = {
    "at-over": "end",
    "manual": "resolution",
    "child": "order",
    "loose-answers": "syntax",
}
DKRON_NAMES = {
    "@hourly": "0 0 * * * *",
    "@minutely": "0 * * * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
}


@pytest.mark.parametrize("name", list(DKRON))
def test_a_job_of_dkron_goes_on_as_its_library_has_it(name: str) -> None:
    draft = by_name(of_file("dkron", "dkron.json", suspended=True))[name]
    job = DKRON[name]
    if name in DKRON_REFUSED:
        assert said(draft, DKRON_REFUSED[name]) == {"not_importable"}
        return
    text = job["schedule"]
    if text.startswith("@at"):
        assert ours(draft) == [1_809_154_800]
    elif text.startswith("@every"):
        assert said(draft, "anchor") == {"differs"}
        assert draft.schedule["every"] == {"every": "1h30m", "every-fraction": "1s"}[name]
    elif name == "seconds":
        assert draft.schedule == {"cron": "*/15 * * * * *"}
    else:
        match = re.fullmatch(r"(?:CRON_TZ=(\S+) )?(.*)", text)
        assert match
        zone = match[1] or job.get("timezone", "UTC")
        theirs = elapsed(robfig(DKRON_NAMES.get(match[2], match[2]), seconds=True), zone)
        if name == "ends":
            theirs = [at for at in theirs if at < 1_806_537_600]
        compare(draft, theirs)


def test_there_are_twenty_definitions_of_each() -> None:
    for found in (CRONTAB, CRONJOBS, GOOGLE, AWS, DKRON):
        assert len(found) >= LEAST


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("0,30 2 * * *", "Europe/Berlin"),
        ("15,45 0 * * *", "Africa/Cairo"),
        ("*/20 2 * * *", "Europe/Berlin"),
        ("0,15,30,45 1-3 * * *", "Australia/Lord_Howe"),
        ("30 2 28 3 *", "Europe/Berlin"),
        ("30 2 * * 0", "America/New_York"),
        ("0-59/7 2 * * *", "America/Santiago"),
    ],
)
def test_times_that_fall_together_after_a_gap_are_told_of(
    text: str, zone: str, tmp_path: Path
) -> None:
    table = tmp_path / "table"
    table.write_text(f"{text} run\n")
    (draft,) = imported("crontab", [str(table)], options(timezone=zone))
    rule, wild = crontab(text)
    compare(draft, elapsed(rule, zone) if wild else as_cron(rule, zone))
