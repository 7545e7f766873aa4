"""Files of jobs: what is text stays text, what is wrong is named with its line, and back again."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from scheduler_svc.cli.files.fault import BadFile
from scheduler_svc.cli.files.jobs_file import laid_over, load
from scheduler_svc.cli.files.reading import documents
from scheduler_svc.cli.files.writing import written

TEXTS = (
    *(
        "on",
        "off",
        "yes",
        "no",
        "y",
        "N",
        "1:30",
        "0 9 * * *",
        "*/5 * * * *",
        "007",
        "0x1F",
        "0o17",
    ),
    *("1_000", "+1", ".5", "1.", "2026-01-05", "2026-01-05T07:00:00Z", "5xx", "30s", "90m", "1e3m"),
    *(".inf", ".nan", "=", "@daily", "L", "FRI#2", "None", "True story", "-", "nullable"),
)
CHARACTERS = some.characters(exclude_categories=["Cs"])
WORDS = (*TEXTS, "null", "~", "true", "1", "1.5", "1e3", "", " a", "a ", "a\n\n b", "a\n")
VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(CHARACTERS, max_size=40)
    | some.sampled_from(WORDS),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(some.text(CHARACTERS, max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(text: str) -> Any:
    (found,) = documents(text, "f.yaml")
    return found.value


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "schedule": {"every": "1h"}, "target": {"url": "https://a.test/"}, **more}


@pytest.mark.parametrize("text", [one for one in TEXTS if one[:1] not in "*@-="])
def test_a_plain_word_that_yaml_once_took_for_something_else_is_a_text(text: str) -> None:
    assert read(f"{text}: {text}") == {text: text}


def test_numbers_and_words_mean_what_json_says() -> None:
    assert read("[0, -7, 1.5, 1e3, -0.25E-2, true, False, null, ~, '1', \"on\"]") == [
        *(0, -7, 1.5, 1000.0, -0.0025, True, False, None, None, "1", "on"),
    ]
    assert read("a:\nb: NULL") == {"a": None, "b": None}
    assert read("on: [408, 5xx]") == {"on": [408, "5xx"]}
    assert read("a: !!str 5") == {"a": "5"}
    assert read("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}
    assert read(r'{"a": "\ud83d\ude00\/", "b": 1}') == {"a": "😀/", "b": 1}
    assert read("{a: 1, b: [x]}") == {"a": 1, "b": ["x"]}


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' is given twice"),
        ('{"a": 1, "a": 2}', None, "'a' is given twice"),
        ("a: !!python/object/apply:os.system [ls]", 1, "means nothing here"),
        ("a: !!binary aGk=", 1, "means nothing here"),
        ("a: !x 1", 1, "means nothing here"),
        ("x: &b {c: 1}\ny:\n  <<: *b", 3, "under 'defaults'"),
        ("a: [1\nb: 2", 2, ""),
        ("? [a]\n: b", 1, "a key must be a text"),
        ("a: *nobody", 1, "names nothing"),
        ("a: &a [*a]", 1, "names nothing"),
        ("a: 1e999", 1, "out of range"),
        ('{"a": 1e999}', 1, "out of range"),
        ('{"a": NaN, "a": 1}', 1, "given twice"),
        ("a: " + "9" * 5000, 1, "out of range"),
        ("[" * 200, 1, "levels deep"),
        ("a: \x01", None, ""),
        ("a: b: c", 1, ""),
    ],
)
def test_what_can_not_be_meant_is_refused_with_its_place(
    text: str, line: int | None, why: str
) -> None:
    with pytest.raises(BadFile) as refused:
        read(text)
    assert why in str(refused.value)
    if line is not None:
        assert str(refused.value).startswith(f"f.yaml:{line}:")


def test_aliases_can_not_make_a_small_file_large() -> None:
    names = "abcdefghij"
    lines = [f"a: &a [{', '.join(['x'] * 10)}]"]
    for above, name in pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{above}'] * 10)}]")
    with pytest.raises(BadFile, match="aliases repeat more"):
        read("\n".join(lines))


@given(VALUES)
def test_what_is_written_is_read_back_here_and_by_a_reader_of_yaml_1_1(value: Any) -> None:
    text = written({"it": value})
    assert exact(read(text)) == exact({"it": value})
    assert exact(yaml.safe_load(text)) == exact({"it": value})


def exact(value: Any) -> str:
    """Values with their types: 1, 1.0 and true are three."""
    return json.dumps(value, sort_keys=True)


def test_lines_are_known_of_every_value() -> None:
    text = "version: 1\njobs:\n- name: a\n  target:\n    headers: {X/Y: 1}\n"
    (found,) = documents(text, "f.yaml", lines=True)
    assert found.lines["/jobs/0/name"] == 3
    assert found.lines["/jobs/0/target/headers/X~1Y"] == 5


def test_several_files_documents_and_folders_are_one(tmp_path: Path) -> None:
    two = {"version": 1, "owner": "me", "jobs": [job("b")]}
    (tmp_path / "b.yaml").write_text(f"{written(two)}---\n{written({**two, 'jobs': [job('c')]})}")
    (tmp_path / "a.json").write_text(json.dumps({"version": 1, "jobs": [job("a")]}))
    (tmp_path / "notes.txt").write_text("no file of jobs")
    (tmp_path / "more.yml").write_text(f"# only a comment\n---\n{written(two | {'jobs': []})}")
    found = load([str(tmp_path)])
    assert found.owner == "me"
    assert [one.name for one in found.jobs] == ["a", "b", "c"]
    assert found.jobs[2].source.place("/jobs/0/schedule/every").endswith("b.yaml:15")


def test_defaults_are_laid_under_each_job_and_null_takes_them_away(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(
        "version: 1\ndefaults:\n  target:\n    headers: {X-A: a}\n    body: {kept: 1}\n"
        "    timeout: 5s\n  retry: {max_attempts: 2, delays: [1s]}\n"
        "jobs:\n- name: a\n  target: {body: {x: null}, timeout: null, url: u}\n"
        "  retry: {delays: [2s, 3s]}\n"
    )
    (one,) = load([str(path)]).jobs
    assert one.job["target"] == {"headers": {"X-A": "a"}, "body": {"x": None}, "url": "u"}
    assert one.job["retry"] == {"max_attempts": 2, "delays": ["2s", "3s"]}
    assert one.source.place("/jobs/0/target/headers/X-A", "/target/headers/X-A").endswith(":4")
    assert laid_over({"a": {"b": 1}}, {"a": None, "c": None}) == {"c": None}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "must be a mapping"),
        ("jobs: []", "version: 1"),
        ("version: 2\njobs: []", ":1: the version is 2"),
        ("version: true\njobs: []", "the version is True"),
        ("version: 1", "'jobs' must be a list"),
        ("version: 1\njobs: {}", ":2: 'jobs' must be a list"),
        ("version: 1\njob: []", ":2: there is no 'job'"),
        ("version: 1\nowner: 7\njobs: []", ":2: must be a text"),
        ("version: 1\njobs: [7]", "must be a mapping"),
        ("version: 1\njobs:\n- schedule: {}", ":3: a job needs a name"),
        ("version: 1\njobs:\n- name: 7", ":3: must be a text; put it in quotes"),
        ("version: 1\njobs:\n- name: a\n- name: a", ":4: the job 'a' stands at"),
        ("version: 1\ndefaults: {name: a}\njobs: []", "one job's own"),
        ("version: 1\nowner: a\njobs: []\n---\nversion: 1\nowner: b\njobs: []", ":6: the owner"),
    ],
)
def test_a_file_that_is_no_file_of_jobs_is_refused_with_the_line(
    text: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(BadFile) as refused:
        load([str(path)])
    assert why in str(refused.value)


def test_what_can_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe\x00")
    for path, why in (("gone.yaml", "No such file"), ("odd.yaml", "UTF-8"), ("", "no file here")):
        folder = tmp_path / "empty" if not path else tmp_path / path
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(BadFile, match=why):
            load([str(folder)])
