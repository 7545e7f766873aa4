"""Work that is done once: what is remembered of deliveries, for how long, and how many."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from clock import HandClock
from scheduler_client import Remembered, once


def test_a_delivery_is_new_then_busy_then_done() -> None:
    seen = Remembered()
    with once(seen, "a") as first:
        with once(seen, "a") as meanwhile:
            assert meanwhile == "busy"
        with once(seen, "b") as other:
            assert other == "new"
    with once(seen, "a") as again:
        assert (first, again) == ("new", "done")


def test_work_that_failed_is_new_again() -> None:
    seen = Remembered()
    with pytest.raises(ValueError, match="x"), once(seen, "a"):
        raise ValueError("x")
    with once(seen, "a") as state:
        assert state == "new"


def test_what_is_old_is_forgotten_and_so_is_the_oldest_of_too_many() -> None:
    clock = HandClock(0)
    seen = Remembered(seconds=10, count_max=3, clock=clock.monotonic)
    for name in "abcd":
        with once(seen, name):
            clock.move(1000)
    assert (len(seen), seen.begin("d")) == (3, "done")
    assert seen.begin("a") == "new"
    clock.move(9500)
    assert (seen.begin("c"), len(seen)) == ("new", 3)


def test_work_that_took_long_keeps_nothing_else_from_being_forgotten() -> None:
    clock = HandClock(0)
    seen = Remembered(seconds=10, clock=clock.monotonic)
    with once(seen, "long"):
        with once(seen, "short"):
            clock.move(1000)
        clock.move(5000)
    clock.move(6000)
    assert (seen.begin("short"), seen.begin("long")) == ("new", "done")


def test_of_many_threads_one_does_the_work() -> None:
    seen = Remembered()
    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(lambda _: seen.begin("a"), range(200)))
    assert sorted(set(states)) == ["busy", "new"]
    assert states.count("new") == 1
