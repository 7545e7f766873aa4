"""Metrics: what events are counted as, what a page of them looks like, and what bounds it."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from scheduler_svc.domain.events import EventName
from scheduler_svc.telemetry.exposition import exposition
from scheduler_svc.telemetry.families import FAMILIES
from scheduler_svc.telemetry.gauges import Figures
from scheduler_svc.telemetry.tally import Sample, Snapshot, Tally

JOB = UUID(int=7)


def ended(**more: Any) -> dict[str, Any]:
    return {
        "run_id": uuid4(),
        "job_id": JOB,
        "attempt": 1,
        "outcome": "ok",
        "status_code": 200,
        "reason": None,
        "duration_ms": 20,
        "lateness_ms": 3,
        "trigger": "schedule",
    } | more


def read(tally: Tally | Snapshot) -> dict[str, float]:
    """Read a page as Prometheus would: one number for each series, labels in order."""
    figures = tally.snapshot() if isinstance(tally, Tally) else tally
    text, _ = exposition(Figures({"0": figures}, {}), "")
    return {
        sample.name + "".join(f" {value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_a_fire_is_counted_once_and_its_attempts_each() -> None:
    tally = Tally()
    for attempt in (1, 1, 2):  # the first was begun, and its lease ended before it was sent
        started = {"run_id": uuid4(), "job_id": JOB, "attempt": attempt, "trigger": "manual"}
        tally(EventName.RUN_STARTED, **started, scheduled_for=None)
    failed = {"outcome": "http_error", "status_code": 500, "trigger": "manual"}
    tally(EventName.RUN_RETRYING, **ended(**failed))
    tally(EventName.RUN_SUCCEEDED, **ended(trigger="manual", attempt=2, lateness_ms=None))
    found = read(tally)
    assert found["scheduler_fires_total manual 0"] == 1
    assert found["scheduler_attempts_total http_error 0"] == 1
    assert found["scheduler_attempts_total ok 0"] == 1
    assert found["scheduler_retries_total 0"] == 1
    assert found["scheduler_runs_total  succeeded 0"] == 1
    assert found["scheduler_lateness_seconds_count manual 0"] == 1
    assert found["scheduler_lateness_seconds_sum manual 0"] == 0.003
    assert found["scheduler_events_total run.started 0"] == 3


@pytest.mark.parametrize(
    ("event", "reason", "series"),
    [
        (EventName.RUN_SUCCEEDED, None, "scheduler_runs_total  succeeded 0"),
        (EventName.RUN_FAILED, "attempts", "scheduler_runs_total attempts failed 0"),
        (EventName.RUN_CANCELLED, "cancelled", "scheduler_runs_total cancelled cancelled 0"),
    ],
)
def test_the_end_of_a_run_is_counted_by_status_and_reason(
    event: EventName, reason: str | None, series: str
) -> None:
    tally = Tally()
    assert read(tally)[series] == 0
    tally(event, **ended(reason=reason))
    assert read(tally)[series] == 1


@pytest.mark.parametrize(
    "event", [EventName.RUN_AWAITING, EventName.ALERT_SENT, EventName.ALERT_FAILED]
)
def test_an_attempt_counts_though_its_run_goes_on_or_is_an_alert(event: EventName) -> None:
    tally = Tally()
    before = read(tally)
    tally(event, **ended(trigger="alert"))
    found = read(tally)
    assert found["scheduler_attempts_total ok 0"] == 1
    assert found["scheduler_lateness_seconds_count alert 0"] == 1
    runs = {name: value for name, value in found.items() if "runs_total" in name}
    assert runs == {name: value for name, value in before.items() if "runs_total" in name}


def test_a_run_cancelled_before_it_was_sent_is_no_attempt() -> None:
    tally = Tally()
    tally(
        EventName.RUN_CANCELLED,
        **ended(outcome=None, duration_ms=None, lateness_ms=None, reason="cancelled"),
    )
    found = read(tally)
    assert sum(value for name, value in found.items() if "attempts_total" in name) == 0
    assert found["scheduler_runs_total cancelled cancelled 0"] == 1


def test_an_end_that_no_attempt_led_to_is_counted_though_it_names_no_trigger() -> None:
    tally = Tally()
    late = ended(outcome=None, duration_ms=None, lateness_ms=None, reason="completion")
    del late["trigger"]
    tally(EventName.RUN_FAILED, **late)
    assert read(tally)["scheduler_runs_total completion failed 0"] == 1


def test_what_comes_by_the_batch_is_counted_as_if_each_had_come_alone() -> None:
    alone, together = Tally(jobs_max=2), Tally(jobs_max=2)
    told = [
        ended(),
        ended(attempt=2, lateness_ms=None, trigger="manual"),
        ended(job_id=UUID(int=8), duration_ms=5000.0, outcome="timeout"),
        ended(outcome=None, duration_ms=None, lateness_ms=None),
    ]
    for name in (
        *(EventName.RUN_SUCCEEDED, EventName.RUN_FAILED, EventName.RUN_RETRYING),
        *(EventName.RUN_AWAITING, EventName.SETTLE_SUPERSEDED, EventName.RUN_STARTED),
    ):
        for one in told:
            alone(name, **one)
        together.hear_all(name, told, dict)
    assert read(together) == read(alone)


def test_a_row_of_missed_occurrences_counts_each_by_its_policy() -> None:
    tally = Tally()
    skipped = {"run_id": uuid4(), "job_id": JOB}
    tally(EventName.RUN_SKIPPED, **skipped, reason="misfire", occurrences=40, policy="skip")
    tally(EventName.RUN_SKIPPED, **skipped, reason="overlap", occurrences=1, policy="once")
    found = read(tally)
    assert found["scheduler_misfires_total skip misfire 0"] == 40
    assert found["scheduler_occurrences_skipped_total misfire 0"] == 40
    assert found["scheduler_occurrences_skipped_total overlap 0"] == 1
    assert found["scheduler_runs_total misfire skipped 0"] == 1
    assert sum(value for name, value in found.items() if "misfires_total" in name) == 40


def test_what_is_taken_over_and_what_comes_too_late_is_counted() -> None:
    tally = Tally()
    for attempt, status, reason in (
        (1, "due", None),
        (2, "due", None),
        (4, "failed", "attempts"),
        (1, "failed", "completion"),
        (1, "succeeded", None),
    ):
        run = {"run_id": uuid4(), "job_id": JOB, "trigger": "backfill", "attempt": attempt}
        tally(EventName.RUN_RESCUED, **run, status=status, reason=reason)
    tally(EventName.SETTLE_SUPERSEDED, **ended())
    found = read(tally)
    assert found["scheduler_rescued_total due 0"] == 2
    assert found["scheduler_runs_total attempts failed 0"] == 1
    assert found["scheduler_runs_total completion failed 0"] == 1
    assert found["scheduler_superseded_total 0"] == 1
    assert found["scheduler_runs_total  succeeded 0"] == 1
    assert found["scheduler_attempts_total lost 0"] == 5
    assert found["scheduler_fires_total backfill 0"] == 3


def test_a_value_on_a_bound_belongs_to_the_bucket_of_that_bound() -> None:
    tally = Tally()
    for lateness_ms in (5, 6, 400_000):
        tally(EventName.RUN_SUCCEEDED, **ended(lateness_ms=lateness_ms))
    found = read(tally)
    bucket = "scheduler_lateness_seconds_bucket {} schedule 0"
    assert found[bucket.format("0.005")] == 1
    assert found[bucket.format("0.01")] == 2
    assert found[bucket.format("300.0")] == 2
    assert found[bucket.format("+Inf")] == 3


def test_single_jobs_are_counted_only_where_asked_for_and_only_so_many() -> None:
    plain, detailed = Tally(), Tally(jobs_max=2)
    jobs = [UUID(int=number) for number in range(5)]
    for job in jobs * 2:
        for tally in (plain, detailed):
            tally(EventName.RUN_SUCCEEDED, **ended(job_id=job))
    assert not [name for name in read(plain) if name.startswith("scheduler_job_runs_total")]
    found = {
        name: value
        for name, value in read(detailed).items()
        if name.startswith("scheduler_job_runs_total")
    }
    assert found == {
        f"scheduler_job_runs_total {jobs[0]} succeeded 0": 2,
        f"scheduler_job_runs_total {jobs[1]} succeeded 0": 2,
        "scheduler_job_runs_total other succeeded 0": 6,
    }


def test_a_request_is_counted_by_its_route_and_never_by_its_path() -> None:
    tally = Tally()
    asked = {"request_id": "1", "peer": None, "duration_ms": 2.0}
    for path in ("/jobs/a", "/jobs/b"):
        tally(
            EventName.API_REQUEST, **asked, method="GET", path=path, route="/jobs/{id}", status=200
        )
    tally(EventName.API_REQUEST, **asked, method="BREW", path="/x", route=None, status=404)
    found = read(tally)
    assert found["scheduler_api_requests_total GET /jobs/{id} 200 0"] == 2
    assert found["scheduler_api_requests_total other none 404 0"] == 1
    assert found["scheduler_api_duration_seconds_count /jobs/{id} 0"] == 2


def test_limits_and_breakers_are_counted_by_the_names_of_their_events() -> None:
    tally = Tally()
    said: list[tuple[Any, dict[str, str]]] = [
        ("breaker.opened", {"key": "a"}),
        ("breaker.opened", {"key": "b"}),
        ("breaker.closed", {"key": "a"}),
        ("rate.limited", {"limit": "writes"}),
    ]
    for name, fields in said:
        tally(name, **fields)
    found = read(tally)
    assert found["scheduler_breaker_changes_total open 0"] == 2
    assert found["scheduler_breaker_changes_total closed 0"] == 1
    assert found["scheduler_rate_limited_total writes 0"] == 1


def test_statements_are_timed_by_name_and_their_errors_counted() -> None:
    tally = Tally()
    tally.statement("settle_runs", 0.25, failed=False)
    tally.statement("settle_runs", 0.5, failed=True)
    found = read(tally)
    assert found["scheduler_statement_seconds_count settle_runs 0"] == 2
    assert found["scheduler_statement_seconds_sum settle_runs 0"] == 0.75
    assert found["scheduler_statement_errors_total settle_runs 0"] == 1


def test_what_nobody_foresaw_is_counted_and_raises_nothing() -> None:
    tally = Tally()
    tally(EventName.RUN_SUCCEEDED, **ended(trigger="new", outcome="odd"))
    tally(EventName.RUN_SKIPPED, run_id=1, job_id=JOB, reason="misfire", occurrences=1)
    found = read(tally)
    assert found["scheduler_fires_total new 0"] == 1
    assert found["scheduler_attempts_total odd 0"] == 1
    assert found["scheduler_lateness_seconds_count other 0"] == 1
    assert found["scheduler_misfires_total other misfire 0"] == 1


def _openmetrics(text: str) -> list[Any]:
    return list(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def test_both_formats_can_be_read_and_say_the_same() -> None:
    tally = Tally()
    tally(EventName.RUN_SUCCEEDED, **ended())
    figures = Figures(
        {"0": tally.snapshot(), "1": tally.snapshot()}, {"scheduler_database_up": [Sample((), 1)]}
    )
    plain, plain_type = exposition(figures, "text/plain")
    open_text, open_type = exposition(
        figures, "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    )
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert open_text.endswith(b"# EOF\n")
    classic = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(plain.decode())
        for sample in family.samples
    }
    opened = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in _openmetrics(open_text.decode())
        for sample in family.samples
    }
    assert classic == opened
    workers = {value for key in classic for name, value in key[1:] if name == "worker"}
    assert workers == {"0", "1"}


def test_every_name_begins_alike_and_is_there_once() -> None:
    names = [family.name for family in FAMILIES]
    assert all(name.startswith("scheduler_") for name in names)
    assert len(names) == len(set(names))
    assert all(family.meaning for family in FAMILIES)
