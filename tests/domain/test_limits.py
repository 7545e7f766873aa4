"""A token bucket as one replica sees it, and the fields that tell of it."""

import pytest

from scheduler_svc.api.ratelimit_fields import fields, retry_after
from scheduler_svc.domain.limits import Bucket, Policy

TEN_A_SECOND = Policy("reads", 600)


def test_a_full_bucket_lets_a_seconds_worth_pass_at_once_and_then_the_rate() -> None:
    bucket = Bucket(TEN_A_SECOND.burst, 0.0)
    assert [bucket.take() for _ in range(11)] == [True] * 10 + [False]
    passed = 0
    for tick in range(1, 3001):
        bucket.refill(TEN_A_SECOND, tick / 100)
        passed += bucket.take()
    assert passed == pytest.approx(300, abs=1)


def test_a_bucket_never_holds_more_than_its_burst_and_time_does_not_run_backward() -> None:
    bucket = Bucket(3.0, 100.0)
    bucket.refill(TEN_A_SECOND, 1000.0)
    assert bucket.tokens == 10
    bucket.take()
    bucket.refill(TEN_A_SECOND, 900.0)
    assert bucket.tokens == 9


def test_the_smallest_limit_still_lets_one_pass() -> None:
    policy = Policy("bulk", 1)
    bucket = Bucket(policy.burst, 0.0)
    assert [bucket.take(), bucket.take()] == [True, False]
    assert bucket.seconds_to_one(policy) == pytest.approx(60)


def test_the_others_are_asked_when_a_tenth_is_spent_or_nothing_seems_left() -> None:
    policy = Policy("reads", 6000)
    bucket = Bucket(policy.burst, 0.0)
    for _ in range(9):
        bucket.take()
    assert not bucket.is_stale(policy, 0.0, pause_seconds=0.1)
    bucket.take()
    assert bucket.is_stale(policy, 0.0, pause_seconds=0.1)
    bucket.tokens, bucket.unsaid, bucket.said_at = 0.5, 0.0, 5.0
    assert not bucket.is_stale(policy, 5.09, pause_seconds=0.1)
    assert bucket.is_stale(policy, 5.11, pause_seconds=0.1)


def test_the_fields_are_structured_and_whole() -> None:
    bucket = Bucket(7.6, 0.0)
    assert fields(TEN_A_SECOND, bucket) == {
        "RateLimit-Policy": '"reads";q=600;w=60',
        "RateLimit": '"reads";r=7;t=1',
    }
    bucket.tokens = -3.2
    assert fields(TEN_A_SECOND, bucket)["RateLimit"] == '"reads";r=0;t=2'


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2")])
def test_a_time_to_wait_is_whole_seconds_and_never_none(seconds: float, text: str) -> None:
    assert retry_after(seconds) == text
