"""The overlap table: policy by what is unfinished."""

from uuid import UUID, uuid4

import pytest

from scheduler_svc.domain.jobs import Overlap
from scheduler_svc.domain.overlap import OpenRun, Verdict, judge

RUNNING, WAITING = UUID(int=1), UUID(int=2)
ONE = [OpenRun(RUNNING, queued=False)]
ONE_AND_A_QUEUED = [*ONE, OpenRun(WAITING, queued=True)]


@pytest.mark.parametrize("policy", ["skip", "queue", "cancel", "allow"])
def test_with_nothing_unfinished_it_is_sent(policy: Overlap) -> None:
    assert judge(policy, []) == Verdict("send")


@pytest.mark.parametrize(
    ("policy", "open_runs", "wanted"),
    [
        ("skip", ONE, Verdict("skip")),
        ("skip", ONE_AND_A_QUEUED, Verdict("skip")),
        ("queue", ONE, Verdict("queue")),
        ("queue", ONE_AND_A_QUEUED, Verdict("skip")),
        ("cancel", ONE, Verdict("send", (RUNNING,))),
        ("cancel", ONE_AND_A_QUEUED, Verdict("send", (RUNNING, WAITING))),
        ("allow", ONE, Verdict("send")),
        ("allow", ONE_AND_A_QUEUED, Verdict("send")),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_with_a_run_unfinished(policy: Overlap, open_runs: list[OpenRun], wanted: Verdict) -> None:
    assert judge(policy, open_runs) == wanted


def test_however_many_wait_one_alone_is_queued() -> None:
    standing = [OpenRun(uuid4(), queued=False) for _ in range(5)]
    assert judge("queue", standing).then == "queue"
    assert judge("queue", [*standing, OpenRun(uuid4(), queued=True)]).then == "skip"
