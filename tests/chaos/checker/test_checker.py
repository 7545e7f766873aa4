"""The checker is itself held against planted faults: each is caught, named, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from chaos.checker.evidence import (
    Attempt,
    Call,
    Evidence,
    Fault,
    Job,
    Kept,
    Request,
    Run,
    Sample,
    Stall,
    looked,
)
from chaos.checker.fairness import judge_fairness, spoken
from chaos.checker.health import Outage, Probe, judge_health
from chaos.checker.lateness import Bounds
from chaos.checker.ledger import id_of
from chaos.checker.picture import picture
from chaos.checker.resources import Use, judge_resources
from chaos.checker.sayings import judge_former, judge_zones
from chaos.checker.timeline import Timeline
from chaos.checker.verdict import judge

BEGIN = 1_780_000_000_000.0
JOB = "0198c5a0-0000-7000-8000-000000000001"
OTHER = "0198c5a0-0000-7000-8000-000000000002"
ONE, TWO = "a" * 8, "b" * 8
COUNT = 12


def at(second: float) -> float:
    return BEGIN + second * 1000


def stamped(second: float) -> str:
    return datetime.fromtimestamp(at(second) / 1000, UTC).isoformat()


def a_job(job: str = JOB, **changes: Any) -> Job:
    schedule = {"every": "5s", "anchor": stamped(0)}
    return replace(Job(job, "job", schedule, BEGIN), **changes)


def a_run(number: int, job: str = JOB, **changes: Any) -> Run:
    due = at(5 * number)
    made = Run(
        id=id_of(job, due),
        job=job,
        trigger="schedule",
        scheduled_ms=due,
        occurrences=1,
        until_ms=None,
        status="succeeded",
        reason=None,
        attempt_count=1,
        claimed_ms=due - 900,
        finished_ms=due + 30,
        replica=ONE,
        attempts=[Attempt(1, "ok", 200, ONE, due + 5)],
    )
    return replace(made, **changes)


def a_call(run: Run, attempt: int = 1, late_ms: float = 8, **changes: Any) -> Request:
    arrived = run.scheduled_ms + late_ms
    made = Request(
        run=run.id,
        job=run.job,
        attempt=attempt,
        scheduled_ms=run.scheduled_ms,
        key=run.id,
        path="/",
        at_ms=arrived,
        ended_ms=arrived + 20,
        status=200,
    )
    return replace(made, **changes)


def healthy(**changes: Any) -> Evidence:
    """A minute of a job that fires each 5 s, as it should be."""
    runs = [a_run(number) for number in range(1, COUNT + 1)]
    made = Evidence(
        jobs=[a_job()], runs=runs, requests=[a_call(run) for run in runs], read_ms=at(64.5)
    )
    return replace(made, **changes)


def changed(base: Evidence, number: int, **changes: Any) -> Evidence:
    """Change the record of one run, and nothing of its calls."""
    runs = [replace(r, **changes) if n == number else r for n, r in enumerate(base.runs, 1)]
    return replace(base, runs=runs)


def called(base: Evidence, *more: Request) -> Evidence:
    return replace(base, requests=[*base.requests, *more])


def kinds(evidence: Evidence, bounds: Bounds | None = None) -> list[tuple[str, str | None]]:
    found = [(one.kind, one.cause) for one in judge(evidence, bounds).findings]
    return sorted(found, key=lambda one: (one[0], one[1] or ""))


KILLED = Fault("kill", at(10) + 15, at(15), frozenset({ONE}))
TAKEN_OVER = {
    "attempt_count": 2,
    "attempts": [Attempt(1, "lost", None, ONE, at(10)), Attempt(2, "ok", 200, TWO, at(25))],
    "replica": TWO,
    "finished_ms": at(26),
}


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    verdict = judge(healthy())
    assert verdict.findings == []
    assert "lost 0, early 0, doubled 0, too late 0" in str(verdict)


def without_a_row() -> Evidence:
    base = healthy()
    gone = base.runs[3]
    kept = [one for one in base.requests if one.run != gone.id]
    return replace(base, runs=[*base.runs[:3], *base.runs[4:]], requests=kept)


def without_a_call() -> Evidence:
    return replace(healthy(), requests=healthy().requests[1:])


def called_early() -> Evidence:
    base = healthy()
    return replace(base, requests=[a_call(base.runs[0], late_ms=-40), *base.requests[1:]])


def called_twice() -> Evidence:
    base = changed(healthy(), 2, **TAKEN_OVER)
    return called(base, a_call(base.runs[1], attempt=2, late_ms=15_000))


def one_attempt_twice() -> Evidence:
    base = healthy()
    return called(base, a_call(base.runs[1], late_ms=300))


def unheard_of() -> Evidence:
    base = healthy()
    stranger = a_run(3, job=OTHER)
    return called(base, a_call(stranger))


def beyond_its_record() -> Evidence:
    base = changed(healthy(), 2, attempts=[Attempt(1, "http_error", 503, ONE, at(10))])
    base = replace(base, requests=[base.requests[0], *base.requests[2:]])
    first = a_call(base.runs[1], status=503)
    return called(base, first, a_call(base.runs[1], attempt=2, late_ms=2000))


def before_its_claim() -> Evidence:
    return changed(healthy(), 2, claimed_ms=at(12))


def called_though_skipped() -> Evidence:
    base = replace(healthy(), jobs=[a_job(overlap="skip")])
    base = changed(base, 1, finished_ms=at(11))
    return changed(base, 2, status="skipped", reason="overlap")


def overwritten_end() -> Evidence:
    base = healthy()
    run = base.runs[4]
    seen = Sample(at(26), run.id, "succeeded", None, run.finished_ms)
    return changed(replace(base, samples=[seen]), 5, status="failed", reason="attempts")


def overwritten_between_looks() -> Evidence:
    base = healthy()
    run = base.runs[4]
    looks = [
        Sample(at(26), run.id, "succeeded", None, run.finished_ms),
        Sample(at(27), run.id, "due", None, None),
        Sample(at(28), run.id, "succeeded", None, run.finished_ms),
    ]
    return replace(base, samples=looks)


def overlapping() -> Evidence:
    base = replace(healthy(), jobs=[a_job(overlap="skip")])
    long = replace(base.requests[2], ended_ms=at(20.5))
    return replace(base, requests=[*base.requests[:2], long, *base.requests[3:]])


def of_another_id() -> Evidence:
    base = changed(healthy(), 6, id=id_of(OTHER, at(30)))
    calls = [replace(one, run=base.runs[5].id, key=base.runs[5].id) if n == 5 else one
             for n, one in enumerate(base.requests)]  # fmt: skip
    return replace(base, requests=calls)


def with_another_key() -> Evidence:
    base = healthy()
    return replace(base, requests=[replace(base.requests[0], key=OTHER), *base.requests[1:]])


def outage(occurrences: int) -> Evidence:
    """Four occurrences of an outage in one row, and the last of them sent."""
    base = healthy()
    row = a_run(4, status="skipped", reason="merged", attempt_count=0, attempts=[])
    row = replace(row, occurrences=occurrences, until_ms=at(35), finished_ms=at(41))
    runs = [*base.runs[:3], row, *base.runs[7:]]
    names = {run.id for run in runs} - {row.id}
    kept = [one for one in base.requests if one.run in names]
    faults = [Fault("restart", at(19), at(39))]
    return replace(base, runs=runs, requests=kept, faults=faults)


def no_occurrence() -> Evidence:
    base = healthy()
    odd = replace(a_run(1), scheduled_ms=at(7), id=id_of(JOB, at(7)))
    return replace(called(base, a_call(odd)), runs=[*base.runs, odd])


def counted_twice() -> Evidence:
    base = healthy()
    twin = replace(base.runs[3], id=OTHER, trigger="catch_up", occurrences=1)
    return replace(base, runs=[*base.runs, twin], requests=[*base.requests, a_call(twin)])


def never_ended() -> Evidence:
    return changed(healthy(), 7, status="running", finished_ms=None)


def skipped_for_nothing() -> Evidence:
    base = replace(healthy(), jobs=[a_job(overlap="skip")])
    run = base.runs[3]
    base = replace(base, requests=[one for one in base.requests if one.run != run.id])
    return changed(base, 4, status="skipped", reason="overlap", attempts=[], attempt_count=0)


def missed_for_nothing() -> Evidence:
    return replace(outage(4), faults=[])


def too_late() -> Evidence:
    base = healthy()
    late = a_call(base.runs[2], late_ms=1600)
    return replace(base, requests=[*base.requests[:2], late, *base.requests[3:]])


def sent_though_paused() -> Evidence:
    base = replace(healthy(), read_ms=at(34))
    kept = replace(base, runs=base.runs[:6], requests=base.requests[:6])
    return replace(kept, calls=[Call("pause", JOB, at(27), at(27.1), 200)])


def the_old_path() -> Evidence:
    schedule = a_job().schedule
    edit = Call("edit", JOB, at(41), at(41.1), 200, schedule=schedule, path="/new")
    base = healthy(calls=[edit])
    moved = [replace(one, path="/new") if one.at_ms > at(46) else one for one in base.requests]
    return replace(base, requests=moved)


def trigger_forgotten() -> Evidence:
    return healthy(calls=[Call("trigger", JOB, at(3), at(3.1), 202, run=OTHER)])


def after_a_higher_attempt() -> Evidence:
    base = replace(called_twice(), faults=[replace(KILLED, kind="pause", until_ms=at(40))])
    return called(base, a_call(base.runs[1], attempt=1, late_ms=30_000))


def beyond_its_lease() -> Evidence:
    return replace(healthy(), faults=[Fault("cut", at(11), at(32), frozenset({ONE}))])


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (without_a_row, ["lost"]),
        (without_a_call, ["lost"]),
        (never_ended, ["lost"]),
        (called_early, ["early", "lost"]),  # the second judge misses it in its window
        (called_twice, ["doubled"]),
        (one_attempt_twice, ["doubled"]),
        (unheard_of, ["ghost"]),
        (beyond_its_record, ["ghost"]),
        (before_its_claim, ["ghost"]),
        (called_though_skipped, ["ghost"]),
        (overwritten_end, ["overwritten"]),
        (overwritten_between_looks, ["overwritten"]),
        (overlapping, ["overlap"]),
        (of_another_id, ["wrong id"]),
        (with_another_key, ["wrong id"]),
        (lambda: outage(3), ["misfire count"]),
        (no_occurrence, ["unplanned"]),
        (counted_twice, ["counted twice", "wrong id"]),
        (skipped_for_nothing, ["no reason"]),
        (missed_for_nothing, ["no reason"]),
        (too_late, ["late"]),
        (sent_though_paused, ["disobeyed"]),
        (the_old_path, ["disobeyed"]),
        (trigger_forgotten, ["forgotten"]),
        (beyond_its_lease, ["stale"]),
    ],
)
def test_what_is_planted_is_caught_and_named_and_nothing_else_is(
    plant: Callable[[], Evidence], found: list[str]
) -> None:
    assert kinds(plant()) == [(kind, None) for kind in found]


def test_what_an_outage_left_behind_is_one_row_with_the_right_count() -> None:
    assert kinds(outage(4)) == []


def test_a_second_call_is_explained_by_the_kill_of_the_replica_that_held_the_first() -> None:
    assert kinds(replace(called_twice(), faults=[KILLED])) == [("doubled", "kill")]


@pytest.mark.parametrize(
    "fault",
    [
        replace(KILLED, replicas=frozenset({TWO})),
        replace(KILLED, from_ms=at(12)),
        replace(KILLED, from_ms=at(2), until_ms=at(3)),
    ],
    ids=["another replica's", "long after its answer", "long before"],
)
def test_a_second_call_is_not_explained_by_a_fault_that_has_nothing_to_do_with_it(
    fault: Fault,
) -> None:
    assert kinds(replace(called_twice(), faults=[fault])) == [("doubled", None)]


def test_a_retry_of_what_the_receiver_refused_is_no_double() -> None:
    tries = [Attempt(1, "http_error", 503, ONE, at(10)), Attempt(2, "ok", 200, ONE, at(11))]
    base = changed(healthy(), 2, attempt_count=2, attempts=tries)
    base = replace(base, requests=[base.requests[0], *base.requests[2:]])
    base = called(base, a_call(base.runs[1], status=503))
    assert kinds(called(base, a_call(base.runs[1], attempt=2, late_ms=1100))) == []


def test_a_call_by_one_who_woke_up_is_stale_and_the_double_is_explained_by_the_pause() -> None:
    assert set(kinds(after_a_higher_attempt())) == {("doubled", "pause"), ("stale", None)}


def test_what_is_sent_late_is_sent_as_the_job_is_by_then_and_not_as_it_will_be() -> None:
    base = the_old_path()
    late = replace(base.requests[8], path="/newer", at_ms=at(49.8), ended_ms=at(49.9))
    base = replace(base, requests=[*base.requests[:8], late])
    base = replace(base, runs=base.runs[:9], read_ms=at(49.95))
    for sent, found in ((49.0, []), (49.85, [("disobeyed", None)])):
        newer = replace(base.calls[0], sent_ms=at(sent), acked_ms=at(sent + 0.1), path="/newer")
        seen = [one for one in kinds(replace(base, calls=[*base.calls, newer])) if one[0] != "late"]
        assert seen == found


def test_an_overlap_that_a_kill_explains_says_so() -> None:
    killed = replace(KILLED, from_ms=at(16), until_ms=at(21))
    assert kinds(replace(overlapping(), faults=[killed])) == [("overlap", "kill")]


def test_a_pause_that_was_refused_pauses_nothing() -> None:
    assert kinds(healthy(calls=[Call("pause", JOB, at(27), at(27.1), 404)])) == []


def test_what_passes_after_a_pause_is_not_asked_for() -> None:
    base = healthy(calls=[Call("pause", JOB, at(57), None, None)])
    assert kinds(replace(base, runs=base.runs[:11], requests=base.requests[:11])) == []


def test_what_is_late_says_whether_the_machine_stood_still() -> None:
    stood = replace(too_late(), stalls=[Stall(at(15.5), 700)])
    assert kinds(stood) == [("late", "the machine stood still for 700 ms")]
    moment = replace(too_late(), stalls=[Stall(at(15.5), 300)])
    assert kinds(moment) == [("late", None)]


def test_a_fault_gives_its_length_and_the_time_to_recover_and_no_more() -> None:
    base = healthy(faults=[Fault("restart", at(14), at(19))])
    behind = [a_call(run, late_ms=25_000) if n == 2 else a_call(run)
              for n, run in enumerate(base.runs)]  # fmt: skip
    assert kinds(replace(base, requests=behind)) == []
    assert kinds(replace(base, requests=behind), Bounds(untouched_max=1000)) == [("late", None)]
    behind[2] = a_call(base.runs[2], late_ms=26_100)
    assert kinds(replace(base, requests=behind)) == [("late", None)]


def test_the_clock_is_bounded_from_both_sides_and_a_step_is_seen() -> None:
    line = Timeline([(0, 10, 1005), (100, 102, 1101.5), (200, 201, 91_200), (300, 301, 91_300)])
    assert line.steps == 1
    assert line.bounds(50) == (1049.5, 1051.5)
    assert line.bounds(150) == (1149.5, 91_150)
    assert line.bounds(250) == (91_249, 91_250)


def test_a_picture_shows_windows_calls_and_bands() -> None:
    base = replace(called_twice(), faults=[KILLED])
    drawn = picture(looked(base), JOB)
    root = ET.fromstring(drawn)
    titles = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert sum(title.startswith("due") for title in titles) == COUNT
    assert "attempt 2, answered 200, 15000 ms late" in titles
    assert f"kill of {ONE}" in titles


def test_what_is_not_given_back_is_named_and_noise_is_not() -> None:
    grown = [Use("rss", 80e6, 93e6), Use("rss", 80e6, 91e6), Use("descriptors", 40, 49)]
    assert [one.why for one in judge_resources(grown)] == [
        "rss 80000000 -> 93000000",
        "descriptors 40 -> 49",
    ]


def probes(*said: tuple[str, int, float, float]) -> list[Probe]:
    return [Probe("r1", path, status, at_ms, took) for path, status, at_ms, took in said]


FROZEN = Outage("freeze", 20_000, 50_000, frozenset())


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (("/readyz", 200, 31_000, 5), ["untrue"]),
        (("/readyz", 200, 27_000, 5), []),
        (("/readyz", 503, 45_000, 2000), []),
        (("/readyz", 503, 61_000, 5), ["untrue"]),
        (("/readyz", 503, 59_000, 5), []),
        (("/jobs?limit=1", 503, 30_000, 4100), []),
        (("/jobs?limit=1", 503, 30_000, 5100), ["slow refusal"]),
        (("/jobs?limit=1", 500, 30_000, 10), ["no refusal"]),
        (("/healthz", 200, 30_000, 120), ["slow to say it lives"]),
        (("/healthz", 0, 30_000, 10), ["not alive"]),
    ],
)
def test_what_a_replica_says_of_itself_is_held_against_what_was_true(
    said: tuple[str, int, float, float], found: list[str]
) -> None:
    assert [one.kind for one in judge_health(probes(said), [FROZEN], [])] == found


def test_of_a_replica_that_is_killed_or_stopped_nothing_is_asked() -> None:
    stopped = Outage("pause", 20_000, 50_000, frozenset({"r1"}))
    assert judge_health(probes(("/healthz", 0, 30_000, 10)), [stopped], []) == []
    other = Outage("pause", 20_000, 50_000, frozenset({"r2"}))
    assert len(judge_health(probes(("/healthz", 0, 30_000, 10)), [other], [])) == 1


TAIL = Fault("tail", at(19), at(26))


def sent_anew() -> Evidence:
    """What a standby that was behind makes of two runs of the tail: the same ids, once more."""
    base = changed(healthy(), 5, claimed_ms=at(27), finished_ms=at(27.1))
    base = replace(base, samples=[Sample(at(25.2), base.runs[4].id, "succeeded", None, at(25))])
    return called(base, a_call(base.runs[4], late_ms=2100))


def test_what_is_done_again_after_a_tail_was_lost_is_explained_by_it_and_counted() -> None:
    verdict = judge(replace(sent_anew(), faults=[TAIL]))
    assert sorted((one.kind, one.cause) for one in verdict.findings) == [
        ("doubled", "tail"),
        ("ghost", "tail"),  # by its record it was claimed later
        ("overwritten", "tail"),
    ]
    assert "gone with a tail of 7000 ms: doubled 1, ghost 1, overwritten 1" in str(verdict)


@pytest.mark.parametrize(
    "faults", [[], [Fault("promotion", at(25), at(26))], [replace(TAIL, until_ms=at(23))]]
)
def test_beyond_the_tail_nothing_is_explained_by_it(faults: list[Fault]) -> None:
    found = kinds(replace(sent_anew(), faults=faults))
    assert ("doubled", None) in found
    assert ("overwritten", None) in found


def test_an_occurrence_of_a_tail_has_to_be_there_all_the_same() -> None:
    assert kinds(replace(without_a_row(), faults=[TAIL])) == [("lost", None)]


def test_a_call_of_a_run_that_went_with_a_tail_has_the_id_of_its_occurrence() -> None:
    base = replace(healthy(), faults=[TAIL])
    stranger = replace(a_run(5, job=OTHER), trigger="schedule")
    assert kinds(called(base, a_call(stranger))) == [("ghost", "tail")]
    assert kinds(called(base, replace(a_call(stranger), run=JOB))) == [("ghost", None)]
    assert kinds(called(base, a_call(a_run(8, job=OTHER)))) == [("ghost", None)]


def a_create(**asked: Any) -> Call:
    return Call("create", OTHER, at(2), at(2.1), 201, path="/new", asked={"at": "2190", **asked})


KEPT = Kept({"at": "2190", "timezone": "UTC"}, "/new", paused=False)


@pytest.mark.parametrize(
    ("calls", "kept", "found"),
    [
        ([a_create()], KEPT, 0),
        ([a_create()], replace(KEPT, path="/old"), 1),
        ([a_create()], replace(KEPT, schedule={"at": "2189"}), 1),
        ([a_create(), Call("path", OTHER, at(3), at(3.1), 200, path="/x")], KEPT, 1),
        ([a_create(), Call("path", OTHER, at(3), None, None, path="/x")], KEPT, 0),
        ([a_create(), Call("path", OTHER, at(3), at(3.1), 409, path="/x")], KEPT, 0),
        ([a_create(), Call("pause", OTHER, at(3), at(3.1), 200)], KEPT, 1),
        ([Call("pause", OTHER, at(3), at(3.1), 200)], replace(KEPT, paused=True), 0),
        ([a_create(), Call("resume", OTHER, at(3), at(3.1), 200)], replace(KEPT, paused=True), 1),
        ([Call("pause", OTHER, at(3), None, 503)], KEPT, 0),
    ],
)
def test_a_job_is_at_the_end_as_its_acknowledged_writes_made_it(
    calls: list[Call], kept: Kept, found: int
) -> None:
    base = healthy(calls=calls, kept={OTHER: kept})
    assert kinds(base) == [("forgotten", None)] * found
    wide = replace(TAIL, from_ms=at(1))
    assert kinds(replace(base, faults=[wide])) == [("forgotten", "tail")] * found


def after_hours(policy: str, *sent: int, lateness_ms: float | None = None) -> Evidence:
    """Nobody was there from 12 s to 605 s, the jobs' grace is a minute; these were sent then."""
    back = 605.0
    job = a_job(misfire=policy, lateness_ms=lateness_ms)
    faults = [Fault("down", at(12), at(back)), Fault("clock", at(13), at(600.9))]
    runs = [a_run(1), a_run(2)]
    for turn, number in enumerate(sent):
        made = a_run(number, trigger="catch_up", claimed_ms=at(back), finished_ms=at(back + turn))
        runs.append(made)
    late = range(108, 122)  # within the grace of a minute
    runs += [a_run(number, claimed_ms=at(back), finished_ms=at(606)) for number in late]
    gaps = sorted({3, *(number + 1 for number in sent)})
    for first in gaps:
        last = min((number for number in (*sent, 108) if number >= first), default=first) - 1
        if last >= first:
            row = a_run(first, status="skipped", reason="misfire", attempts=[], attempt_count=0)
            count = last - first + 1
            row = replace(row, occurrences=count, until_ms=at(5 * last), finished_ms=at(back))
            runs.append(row)
    calls = [
        a_call(
            run, late_ms=8 if run.scheduled_ms < at(12) else at(back + n / 10) - run.scheduled_ms
        )
        for n, run in enumerate(runs)
        if run.status != "skipped"
    ]
    return healthy(jobs=[job], runs=runs, requests=calls, faults=faults, read_ms=at(609))


@pytest.mark.parametrize(
    ("policy", "sent", "lateness_ms", "found"),
    [
        ("skip", [], None, 0),
        ("skip", [50], None, 1),
        ("once", [], None, 0),  # one that was on time stands for them
        ("once", [40, 50], None, 1),
        ("once", [50], None, 1),  # not the last
        ("all", range(3, 108), None, 0),
        ("all", range(4, 108), None, 1),
        ("all", [*range(3, 50), *range(51, 108)], None, 1),
        ("all", range(61, 108), 300_000.0, 0),
        ("all", range(50, 108), 300_000.0, 1),
    ],
)
def test_what_was_missed_is_sent_as_the_policy_says(
    policy: str, sent: list[int], lateness_ms: float | None, found: int
) -> None:
    evidence = after_hours(policy, *sent, lateness_ms=lateness_ms)
    assert kinds(evidence) == [("misfire policy", None)] * found


def test_what_is_caught_up_is_sent_oldest_first() -> None:
    base = after_hours("all", *range(3, 108))
    calls = [replace(one, at_ms=at(621) + at(600) - one.at_ms, ended_ms=at(640))
             if at(14) < one.scheduled_ms < at(538) else one for one in base.requests]  # fmt: skip
    assert kinds(replace(base, requests=calls)) == [("misfire policy", None)]


def test_what_was_unsent_when_all_went_down_again_comes_after_what_was_sent() -> None:
    base = after_hours("all", *range(3, 108))
    calls = [replace(one, at_ms=one.at_ms + 90_000, ended_ms=one.ended_ms + 90_000)
             if at(14) < one.scheduled_ms < at(100) else one for one in base.requests]  # fmt: skip
    left = replace(base, requests=calls)
    assert ("misfire policy", None) in kinds(left)
    again = [*base.faults, Fault("down", at(600), at(690)), Fault("clock", at(612), at(620))]
    assert ("misfire policy", None) not in kinds(replace(left, faults=again))


def test_a_call_that_takes_long_may_be_under_way_when_the_records_are_read() -> None:
    base = healthy()
    last = max(base.runs, key=lambda run: run.scheduled_ms)
    under_way = replace(last, status="running", finished_ms=None, attempts=[])
    long = replace(base, runs=[under_way if run is last else run for run in base.runs])
    assert ("lost", None) in kinds(long)
    assert ("lost", None) not in kinds(replace(long, takes_ms=25_000.0))


def test_one_that_was_asked_to_leave_need_not_answer_until_it_is_there_again() -> None:
    gone = [Outage("leave", 1000, 3000, frozenset({"r1"}))]
    asked = [Probe(name, "/healthz", 0, at_ms, 2) for name, at_ms in (("r1", 2000), ("r1", 9000),
                                                                      ("r2", 2000))]  # fmt: skip
    found = [judge_health([one], gone, []) for one in asked]
    assert [[one.kind for one in each] for each in found] == [[], ["not alive"], ["not alive"]]


def crowded(before: int) -> Evidence:
    """Ten of a crowd and one of a few at one instant; so many of the crowd are called first."""
    jobs = [replace(a_job(f"{n:08d}-0000-7000-8000-000000000000"), name=f"crowd-{n}")
            for n in range(10)]  # fmt: skip
    few = a_job(OTHER, name="few-0")
    runs = [a_run(1, job=job.id) for job in [*jobs, few]]
    calls = [a_call(run, late_ms=100 + 10 * n) for n, run in enumerate(runs)]
    calls[-1] = a_call(runs[-1], late_ms=95 + 10 * before)
    return healthy(jobs=[*jobs, few], runs=runs, requests=calls)


def test_a_few_that_wait_for_a_crowd_are_found_and_told() -> None:
    assert list(judge_fairness(looked(crowded(3)), "few", "crowd", 3)) == []
    found = list(judge_fairness(looked(crowded(4)), "few", "crowd", 3))
    assert [(one.kind, one.why) for one in found] == [
        ("unfair", "4 calls of crowd came first, 3 may")
    ]
    assert "few (1): last after 135 ms, 4 of crowd before it" in spoken(
        looked(crowded(4)), "few", "crowd"
    )


GONE = {"kind": "former", "state": "gone", "written": 0}


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        ([GONE], []),
        ([], ["not shown"]),
        ([GONE | {"written": 3}], ["believed"]),
        ([GONE, {"kind": "guest", "pid": 7, "age_ms": 40.0}], []),
        ([GONE, {"kind": "guest", "pid": 7, "age_ms": 2500.0}], ["believed"]),
    ],
)
def test_a_former_primary_is_believed_by_nobody(
    notes: list[dict[str, Any]], found: list[str]
) -> None:
    assert [one.kind for one in judge_former(notes)] == found


SAID: list[dict[str, Any]] = [
    {"kind": "zones", "replica": "r1", "tzdata": "2026f"},
    {"kind": "zones", "replica": "r3", "tzdata": "1999z"},
    {"kind": "doctor", "mixed": True},
    {"kind": "zone refusal", "replica": "r3", "told": True},
]


@pytest.mark.parametrize("missing", range(4))
def test_zone_data_that_differs_is_told_by_everyone(missing: int) -> None:
    assert list(judge_zones(SAID)) == []
    notes = [note for number, note in enumerate(SAID) if number != missing]
    assert [one.kind for one in judge_zones(notes)] == ["silent"]
