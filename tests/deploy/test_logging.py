"""The examples of central logging name what the service writes, and fit together.

Where Vector or Fluent Bit is installed it judges its file itself; elsewhere that part is skipped.
"""

import io
import json
import logging
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from scheduler_svc.domain.events import EventName
from scheduler_svc.telemetry import logs
from scheduler_svc.telemetry.events import EVENTS, emit

ROOT = Path(__file__).parents[2]
LOGGING = ROOT / "deploy" / "logging"
VECTOR = shutil.which("vector")
FLUENT_BIT = shutil.which("fluent-bit", path="/usr/bin:/usr/local/bin:/opt/fluent-bit/bin")
FIELDS = {"timestamp", "level", "event"} | {name for one in EVENTS.values() for name in one.fields}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((LOGGING / name).read_text())
    return found


@pytest.mark.skipif(VECTOR is None, reason="Vector is not installed")
def test_vector_takes_its_file() -> None:
    assert VECTOR is not None
    subprocess.run([VECTOR, "validate", "--no-environment", LOGGING / "vector.yaml"], check=True)


@pytest.mark.skipif(FLUENT_BIT is None, reason="Fluent Bit is not installed")
def test_fluent_bit_takes_its_file() -> None:
    assert FLUENT_BIT is not None
    subprocess.run([FLUENT_BIT, "--dry-run", "-c", LOGGING / "fluent-bit.yaml"], check=True)


def test_each_step_of_vector_takes_from_one_that_there_is_and_all_end_in_a_sink() -> None:
    made = read("vector.yaml")
    steps = made["sources"] | made["transforms"] | made["sinks"]
    taken = {name for step in steps.values() for name in step.get("inputs", ())}
    assert taken <= set(made["sources"] | made["transforms"])
    assert set(made["sources"] | made["transforms"]) == taken


def test_what_fluent_bit_reads_goes_through_its_filters_to_its_output() -> None:
    made = read("fluent-bit.yaml")
    (source,), (sink,) = made["pipeline"]["inputs"], made["pipeline"]["outputs"]
    matched = {step["match"] for step in [*made["pipeline"]["filters"], sink]}
    assert matched == {source["tag"]}
    parsers = {step["parser"] for step in made["pipeline"]["filters"] if "parser" in step}
    assert parsers == {parser["name"] for parser in made["parsers"]}


def test_fields_and_events_that_the_examples_name_are_of_the_log() -> None:
    vector = (LOGGING / "vector.yaml").read_text()
    named = set(re.findall(r"\{\{ (\w+) \}\}", vector)) | set(
        re.findall(r"(?<![\w.])\.(\w+)", vector)
    )
    (parser,) = read("fluent-bit.yaml")["parsers"]
    named.add(parser["time_key"])
    assert named - {"message"} <= FIELDS
    events = set(re.findall(r'"(\w+\.\w+)"', vector))
    assert events
    assert events <= set(EventName)


def test_the_instant_of_a_line_is_one_that_the_examples_can_read() -> None:
    root = logging.getLogger()
    before, stream = (root.handlers, root.level), io.BytesIO()
    logs.configure(style="json", level="info", stream=stream)
    try:
        emit(EventName.JOB_CREATED, job_id="j")
    finally:
        root.handlers, root.level = before
        structlog.reset_defaults()
    (parser,) = read("fluent-bit.yaml")["parsers"]
    written = json.loads(stream.getvalue())[parser["time_key"]]
    spelt = parser["time_format"].replace("%LZ", "%f%z")  # strptime has no %L
    assert datetime.strptime(written, spelt).astimezone(UTC) == datetime.fromisoformat(written)
    assert datetime.fromisoformat(written).utcoffset() == timedelta(0)  # RFC 3339: Vector's %+


def test_labels_are_few_and_bounded() -> None:
    labels = read("vector.yaml")["sinks"]["loki"]["labels"]
    assert set(labels) == {"service", "event", "level"}


def test_the_page_for_operators_points_to_both() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for path in LOGGING.iterdir():
        assert f"deploy/logging/{path.name}" in page
