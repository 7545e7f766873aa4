"""What jobs have alike is shared, and nothing of a job's own: each is what it would be alone."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from factories import body
from scheduler_svc.delivery.prepare import prepare
from scheduler_svc.domain.decide import plan_job
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.engine.alike import LENGTH_MAX, Alike
from scheduler_svc.engine.jobs import KnownJobs
from scheduler_svc.store.timers import DEFINITION, StoredJob

CREATED = datetime(2026, 11, 26, 9, tzinfo=UTC)
SCHEDULES = st.sampled_from(
    [
        {"every": "1d", "anchor": "2026-11-23T09:00:00Z"},
        {"every": "90s"},
        {"cron": "H 9 * * *"},
        {"cron": "0 9 * * MON", "timezone": "Europe/Berlin", "spread": "5m"},
        {"cron": "0 9 * * *", "max_runs": 3, "exclude": ["* * 25 12 *"]},
        {"at": "2026-11-27T09:00:00+02:00"},
    ]
)
TARGETS = st.fixed_dictionaries(
    {"url": st.sampled_from(["http://127.0.0.1:9000/a", "https://example.com/b"])},
    optional={
        "body": st.sampled_from([None, {"n": 1}, "x" * (LENGTH_MAX + 1), "{{run.id}}"]),
        "timeout": st.sampled_from(["5s", "30s"]),
        "headers": st.sampled_from([{"X-One": "1"}, {"X-Run": "{{run.id}}"}]),
        "format": st.sampled_from(["plain", "cloudevents"]),
        "redirects": st.integers(0, 2),
        "concurrency_key": st.sampled_from(["db", None]),
    },
)
RULES = st.fixed_dictionaries(
    {"schedule": SCHEDULES, "target": TARGETS},
    optional={
        "name": st.sampled_from(["nightly", "weekly"]),
        "labels": st.sampled_from([{}, {"team": "a"}, {"team": "b"}]),
        "retry": st.sampled_from([{"max_attempts": 1}, {"delays": ["5s"], "on": [500]}]),
        "misfire": st.sampled_from([{"policy": "all"}, {"grace": "5m"}]),
        "alerts": st.sampled_from([{}, {"url": "http://127.0.0.1/alert", "failures_in_row": 1}]),
        "retention": st.sampled_from([None, {"count": 5}]),
        "overlap": st.sampled_from(["skip", "allow"]),
        "priority": st.integers(-100, 100),
        "description": st.just("what it does"),
    },
)


def _stored(number: int, definition: str, namespace: str = "default") -> StoredJob:
    return StoredJob(UUID(int=number), namespace, 1, definition, CREATED)


@given(asked=st.lists(st.tuples(RULES, st.booleans(), st.sampled_from("ab")), max_size=6))
def test_each_job_is_what_it_would_be_alone(asked: list[tuple[Any, bool, str]]) -> None:
    jobs = KnownJobs(version="1", public_url="http://127.0.0.1:8080")
    for number, (rules, whole, namespace) in enumerate(asked):
        # As it is stored, with everything said; and as short as it can be.
        text = msgspec.json.encode(rules).decode()
        definition = DEFINITION.decode(text)
        stored = msgspec.json.encode(definition).decode() if whole else text
        job = _stored(number, stored, namespace)
        known = jobs.learn(job)
        alone = plan_job(job.id, namespace, 1, definition, CREATED)
        assert known.plan.definition == definition
        assert structs.replace(known.plan, timetable=alone.timetable) == alone
        assert known.plan.timetable.next_after(0) == alone.timetable.next_after(0)
        assert known.prepared == prepare(
            definition,
            namespace=namespace,
            version="1",
            job_id=job.id,
            public_url="http://127.0.0.1:8080",
        )


def test_equal_parts_are_one_value() -> None:
    alike = Alike("1")
    one = alike.read(_text(name="one"), "default").definition
    other = alike.read(_text(name="other"), "default").definition
    assert (one.name, other.name) == ("one", "other")
    assert one.target is other.target
    assert one.schedule is other.schedule
    assert one.retry is other.retry


def test_a_long_target_is_not_kept() -> None:
    alike = Alike("1")
    long = _text(target={"url": "http://127.0.0.1/", "body": "x" * LENGTH_MAX})
    assert alike.read(long, "default").way.target is not alike.read(long, "default").way.target


@pytest.mark.parametrize(
    "changes",
    [
        {"nmae": "x"},
        {"name": "Not a name"},
        {"priority": 1000},
        {"retry": {"max_attempts": 0}},
        {"schedule": {"every": "often"}},
        {"target": {"url": "http://127.0.0.1/", "bdoy": 1}},
        {"alerts": {"failures_in_row": 0}},
    ],
    ids=str,
)
def test_what_decoding_refuses_is_refused(changes: dict[str, Any]) -> None:
    text = _text(**changes)
    with pytest.raises(msgspec.ValidationError):
        DEFINITION.decode(text)
    with pytest.raises(msgspec.ValidationError):
        Alike("1").read(text, "default")


def test_every_field_of_a_definition_is_read() -> None:
    """A field that is added to one must be added to the other."""
    whole = msgspec.json.encode(DEFINITION.decode(_text(retention={"count": 5})))
    given: dict[str, Any] = msgspec.json.decode(whole)
    assert set(given) == set(Definition.__struct_fields__)
    assert Alike("1").read(whole.decode(), "default").definition == DEFINITION.decode(whole)


def _text(**changes: Any) -> str:
    return msgspec.json.encode(body(**changes)).decode()
