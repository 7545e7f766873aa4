"""Logs: one line for each event, names from the closed list, no secret in them."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from scheduler_svc.domain.events import EventName
from scheduler_svc.telemetry import logs
from scheduler_svc.telemetry.events import EVENTS, emit, fan_out, fan_out_all

SOURCE = Path(__file__).parents[2] / "src" / "scheduler_svc"


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Log into memory, and leave the process's logging as it was."""
    root = logging.getLogger()
    before = root.handlers, root.level
    kept = io.BytesIO()
    logs.configure(style="json", level="info", stream=kept)
    yield kept
    root.handlers, root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_name_of_the_list_is_described() -> None:
    assert set(EVENTS) == set(EventName)


def test_no_event_carries_a_field_that_its_description_leaves_out() -> None:
    said = {
        (node.args[0].attr, keyword.arg)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Attribute)
        if isinstance(node.args[0].value, ast.Name) and node.args[0].value.id == "EventName"
        for keyword in node.keywords
        if keyword.arg not in {None, "exc_info"}
    }
    described = {(name.name, field) for name, event in EVENTS.items() for field in event.fields}
    assert said - described == set()
    assert len(said) > 10


def test_an_event_is_one_line_with_time_level_and_name_first(stream: io.BytesIO) -> None:
    emit(EventName.JOB_PAUSED, job_id="j", reason="two\nlines")
    (line,) = _lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["event"] == "job.paused"
    assert line["level"] == "info"
    assert line["reason"] == "two\nlines"
    assert stream.getvalue().count(b"\n") == 1


def test_ids_bound_by_context_are_on_every_line(stream: io.BytesIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        emit(EventName.API_REQUEST, status=200)
    emit(EventName.API_REQUEST, status=200)
    assert [line.get("request_id") for line in _lines(stream)] == ["r-1", None]


def test_a_line_about_a_run_names_the_runs_trace(stream: io.BytesIO) -> None:
    run = UUID("0198c0de-0000-8000-8000-000000000001")
    emit(EventName.RUN_FAILED, run_id=run, reason="status")
    with logs.naming("r-1", "4bf92f3577b34da6a3ce929d0e0e4736"):
        emit(EventName.JOB_CREATED, job_id="j")
        emit(EventName.RUN_SUCCEEDED, run_id=str(run))
    emit(EventName.JOB_DELETED, job_id="j")
    assert [(line.get("request_id"), line.get("trace_id")) for line in _lines(stream)] == [
        (None, run.hex),
        ("r-1", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("r-1", run.hex),
        (None, None),
    ]


def test_every_event_about_a_run_is_described_with_its_trace() -> None:
    for name, event in EVENTS.items():
        of_a_trace = "run_id" in event.fields or name in {
            EventName.API_REQUEST,
            EventName.API_FAILED,
        }
        assert ("trace_id" in event.fields) == of_a_trace, name


def test_what_is_quieter_than_the_level_is_not_written(stream: io.BytesIO) -> None:
    emit(EventName.RUN_STARTED, run_id="r")
    assert EVENTS[EventName.RUN_STARTED].level == logging.DEBUG
    assert stream.getvalue() == b""


def test_secrets_are_masked_wherever_they_are(stream: io.BytesIO) -> None:
    emit(
        EventName.API_FAILED,
        error="postgresql://user:canary@host/db refused; Bearer canary.canary-canary",
        headers={"Authorization": "Basic canary", "nested": [{"api_key": "canary"}]},
        token="canary",
        fault=ValueError("https://u:canary@host"),
        key="sk_canary_canary_canary",
    )
    assert b"canary" not in stream.getvalue()
    assert _lines(stream)[0]["error"].startswith("postgresql://user:***@host/db refused")


def test_names_that_only_sound_secret_stay_readable(stream: io.BytesIO) -> None:
    emit(EventName.API_REQUEST, idempotency_key="abc", tokens=3, path="/signing-secrets")
    (line,) = _lines(stream)
    assert (line["idempotency_key"], line["tokens"]) == ("abc", 3)
    assert line["path"] == "/signing-secrets"


def test_a_traceback_shows_lines_and_no_values(stream: io.BytesIO) -> None:
    hidden = "canary" + "value"
    try:
        raise LookupError(len(hidden))  # noqa: TRY301 - the fault under test
    except LookupError:
        emit(EventName.TICK_FAILED, exc_info=True)
    (line,) = _lines(stream)
    assert "LookupError" in line["exception"]
    assert hidden not in line["exception"]


def test_libraries_come_out_through_the_same_door(stream: io.BytesIO) -> None:
    logging.getLogger("uvicorn.error").error("port %s in use", 8080)
    logging.getLogger("asyncio").warning("slow: postgresql://u:canary@h/d")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /")
    first, second = _lines(stream)
    assert (first["event"], first["logger"], first["level"]) == (
        "library.log",
        "uvicorn.error",
        "error",
    )
    assert first["message"] == "port 8080 in use"
    assert "canary" not in second["message"]


def test_a_value_that_is_no_json_is_written_as_text(stream: io.BytesIO) -> None:
    emit(EventName.PARTITIONS_MADE, names={"a"}, other=object)
    assert _lines(stream)[0]["names"] == ["a"]


def test_a_terminal_gets_columns_without_colours_where_it_is_none() -> None:
    stream = io.BytesIO()
    logs.configure(style="console", level="info", stream=stream)
    try:
        emit(EventName.JOB_CREATED, job_id="j-1")
    finally:
        logging.getLogger().handlers = []
        structlog.reset_defaults()
    text = stream.getvalue().decode()
    assert "job.created" in text
    assert "job_id=j-1" in text
    assert "\x1b" not in text


def test_several_listeners_hear_the_same_event() -> None:
    heard: list[tuple[str, EventName, dict[str, object]]] = []

    def listener(label: str) -> Any:
        return lambda name, fields: heard.append((label, name, fields))

    fan_out(listener("a"), listener("b"))(EventName.JOB_DELETED, job_id="j")
    assert heard == [
        ("a", EventName.JOB_DELETED, {"job_id": "j"}),
        ("b", EventName.JOB_DELETED, {"job_id": "j"}),
    ]


def test_several_listeners_hear_the_same_batch_and_the_log_each_event_of_it() -> None:
    heard: list[tuple[str, EventName, list[dict[str, object]]]] = []
    logged: list[tuple[EventName, dict[str, object]]] = []

    def listener(label: str) -> Any:
        return lambda name, told, fields: heard.append((label, name, [fields(one) for one in told]))

    def log(name: EventName, /, **fields: object) -> None:
        logged.append((name, fields))

    tell = fan_out_all(listener("a"), listener("b"), log=log)
    tell(EventName.RUN_FAILED, [1, 2], lambda one: {"attempt": one})
    each: list[dict[str, object]] = [{"attempt": 1}, {"attempt": 2}]
    assert heard == [("a", EventName.RUN_FAILED, each), ("b", EventName.RUN_FAILED, each)]
    assert logged == [(EventName.RUN_FAILED, one) for one in each]
