"""Files that are wrong in every way: a sentence and an exit code, never a traceback."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imports.comparing import FILES, options
from scheduler_svc.cli.imports.judge import judge
from scheduler_svc.cli.run import run
from scheduler_svc.domain.imports import (
    apscheduler,
    cloud_scheduler,
    crontab,
    dkron,
    eventbridge,
    kubernetes,
)
from scheduler_svc.domain.imports.finding import CODES

pytestmark = pytest.mark.timeout(180)
BOMB = "a: &a [x, x, x, x]\n" + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(9)
)
BAD = {
    "kubernetes": [
        b"\xff\xfe\x00garbage",
        BOMB.encode(),
        b"kind: CronJob\nspec: {schedule: @daily}",
        b"[" * 5000,
        b"a: " + b"[" * 200 + b"]" * 200,
        b"!!python/object/apply:os.system ['true']",
        b"a: 2026-99-99",
        b"key: [unfinished",
        b"a: .nan\n\0",
    ],
    "cloud-scheduler": [b"", b"{", b"nonsense", b"[" * 100_000, b'{"a": NaN}', b"\xff"],
    "eventbridge": [b"", b"{'a': 1}", b"[1, 2", b'{"Schedules": '],
    "dkron": [b"", b"<html>", b"[" * 100_000],
    "apscheduler": [b"", b"__import__('os')", b"[" * 100_000, b"{1: 2", b"lambda: 1"],
}
FILES_OF = {"kubernetes": "yaml"}


@pytest.mark.parametrize("dialect", list(BAD))
def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(
    dialect: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, raw in enumerate(BAD[dialect]):
        path = tmp_path / f"bad{number}"
        path.write_bytes(raw)
        out = tmp_path / "out.yaml"
        assert run(["import", dialect, str(path), "-o", str(out)]) == 2, raw[:40]
        told = capsys.readouterr()
        assert told.err.startswith("scheduler-svc: "), raw[:40]
        assert told.err.count("\n") == 1
        assert told.out == ""
        assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["crontab", "/nowhere/at/all"],
        ["crontab", "{file}", "--target", "https://example.com/no-name"],
        ["crontab", "{file}", "--target", "ftp://example.com/{name}"],
        ["crontab", "{file}", "--target", "https://example.com/{name}/{other}"],
        ["crontab", "{file}", "--timezone", "Europe/Berlinn"],
        ["crontab", "{file}", "-o", "/nowhere/at/all/jobs.yaml"],
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table"
    table.write_text("0 1 * * * true\n")
    assert run(["import", *(one.replace("{file}", str(table)) for one in arguments)]) == 2
    assert capsys.readouterr().err.startswith("scheduler-svc: ")


def test_a_file_beyond_the_bound_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "huge"
    path.write_bytes(b"# 0123456789\n" * (17 * 1024 * 1024 // 13))
    assert run(["import", "crontab", str(path)]) == 2
    assert "16 MiB" in capsys.readouterr().err


ODD: tuple[Any, ...] = (
    *(None, True, -1, 10**30, 1e300, "", "x" * 3000, "\u202e\x1b[2J\n\r", "\ud800", "{{run.id}}"),
    *(
        [],
        [[]],
        {},
        {"a": {"b": []}},
        "@every 9999999999h",
        "* * * * *",
        "0 0 31 2 *",
        "2026-01-01",
    ),
)
READERS = {
    "cloud-scheduler": cloud_scheduler.read,
    "eventbridge": eventbridge.read,
    "dkron": dkron.read,
    "kubernetes": kubernetes.read,
    "apscheduler": apscheduler.read,
}
DUMP = [
    {
        "id": "a",
        "name": "b",
        "func": "m:f",
        "args": [1],
        "kwargs": {"x": 1},
        "trigger": {
            "type": "CronTrigger",
            "fields": {"hour": "2", "day": "2nd fri"},
            "timezone": "Europe/Berlin",
            "start_date": "2027-01-01 00:00:00+01:00",
            "end_date": "2028-01-01T00:00:00Z",
            "jitter": 30,
        },
        "misfire_grace_time": 1,
        "coalesce": False,
        "max_instances": 1,
        "next_run_time": "x",
    },
    {"id": "c", "trigger": {"type": "interval", "seconds": 5, "start_date": "2027-01-01"}},
    {"id": "d", "trigger": {"type": "date", "run_date": "2027-01-01 00:00:00 CET"}},
    {"id": "e", "trigger": "cron[hour='3']"},
]


def definitions(dialect: str) -> list[Any]:
    if dialect == "apscheduler":
        return DUMP
    if dialect == "kubernetes":
        text = (FILES / "kubernetes.yaml").read_text()
        first, _, more = yaml.safe_load_all(text)
        return [first, more["items"][0], more["items"][15]]
    found = json.loads((FILES / f"{dialect}.json").read_text())
    wanted = {"dkron": (0, 2, 21), "eventbridge": (0, 15, 18, 23), "cloud-scheduler": (0, 1, 3, 9)}
    return [found[index] for index in wanted[dialect]]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(below, (*at, key))


def changed(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    if not at:
        return odd
    made = copy.deepcopy(value)
    place = made
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = odd
    return made


@pytest.mark.parametrize("dialect", list(READERS))
def test_any_part_of_a_definition_may_be_anything(dialect: str) -> None:
    given = options(timezone="Europe/Berlin", suspended=True)
    for definition in definitions(dialect):
        for at in paths(definition):
            for odd in ODD:
                for draft in READERS[dialect](changed(definition, at, odd), "t", given, set()):
                    judge(draft)
                    assert {one.code for one in draft.findings} <= set(CODES), (at, odd)
                    assert draft.written or draft.findings, (at, odd)


LINES = (
    *("", "*", "* * * * *", "@daily", "@nonsense x", "= = =", '"A"=1', "A=", "1 2 3 4 5 %%%\\%"),
    *(
        "99 * * * * x",
        "*/0 * * * * x",
        "* * * * mon-sun x",
        "é * * * * x",
        "0 0 0 0 0 x",
        "\x1b[2J",
    ),
    *(
        "1-5/99 * * * * x",
        "~ ~ * * * x",
        "9~3 * * * * x",
        ",, * * * * x",
        f"{'1,' * 200}1 * * * * x",
    ),
    *("- * * * * x", "*/-1 * * * * x", "1e3 * * * * x", "* * 31 2 * x", "\u0661 * * * * x"),
)


def test_any_line_of_a_crontab_may_be_anything() -> None:
    for system in (False, True):
        given = options(timezone="Europe/Berlin", system=system)
        for draft in crontab.read("\n".join(LINES), "t", given, set()):
            judge(draft)
            assert draft.written or draft.findings
