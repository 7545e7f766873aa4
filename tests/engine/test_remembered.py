"""What was read counts until a notice or its age, and as long as the database is away."""

import asyncio

import pytest

from clock import HandClock
from scheduler_svc.engine.remembered import PATIENCE_SECONDS, RETRY_SECONDS, Age, Remembered


class Source:
    """What is read: it may be away, or wait until it is let go on."""

    def __init__(self) -> None:
        self.values = {"a": 1}
        self.reads = 0
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, key: str) -> int:
        self.reads += 1
        value = self.values[key]
        await self.gate.wait()
        if self.away:
            raise ConnectionError("away")
        return value


def remembered(source: Source, clock: HandClock, *, size_max: int = 10) -> Remembered[str, int]:
    return Remembered(source.read, age=Age(clock.monotonic, 60.0), size_max=size_max)


async def test_a_value_is_read_once_and_again_after_its_age_or_a_notice() -> None:
    source, clock = Source(), HandClock(0)
    known = remembered(source, clock)
    assert known.at_hand("a") is None
    assert [await known.get("a"), await known.get("a")] == [1, 1]
    assert source.reads == 1
    source.values["a"] = 2
    assert await known.get("a") == 1
    known.forget(lambda key: key == "a")
    assert await known.get("a") == 2
    source.values["a"] = 3
    clock.move(60_000)
    assert await known.get("a") == 3


async def test_many_who_ask_at_once_make_one_read() -> None:
    source, clock = Source(), HandClock(0)
    known = remembered(source, clock)
    source.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(known.get("a")) for _ in range(50)]
        while not source.reads:  # noqa: ASYNC110 - the first has begun to read
            await asyncio.sleep(0)
        source.gate.set()
    assert [one.result() for one in asking] == [1] * 50
    assert source.reads == 1


async def test_what_was_read_before_a_notice_is_not_kept_after_it() -> None:
    source, clock = Source(), HandClock(0)
    known = remembered(source, clock)
    source.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(known.get("a"))
        while not source.reads:  # noqa: ASYNC110 - the task has begun to read
            await asyncio.sleep(0)
        source.values["a"] = 2
        known.forget(lambda _key: True)
        source.gate.set()
    assert reading.result() == 1
    assert await known.get("a") == 2


async def test_while_the_source_is_away_what_was_known_counts_and_few_ask() -> None:
    source, clock = Source(), HandClock(0)
    known = remembered(source, clock)
    source.away = True
    with pytest.raises(ConnectionError):
        await known.get("a")
    source.away = False
    clock.move(int(RETRY_SECONDS * 1000))
    assert await known.get("a") == 1
    clock.move(60_000)
    source.away, source.values["a"], before = True, 2, source.reads
    assert await asyncio.gather(*[known.get("a") for _ in range(50)]) == [1] * 50
    assert source.reads == before + 1
    source.away = False
    clock.move(int(RETRY_SECONDS * 1000))
    assert await known.get("a") == 2


async def test_where_something_is_known_nobody_waits_long_for_a_source_that_hangs() -> None:
    source, clock = Source(), HandClock(0)
    known = remembered(source, clock)
    assert await known.get("a") == 1
    known.forget(lambda _key: True)
    source.gate.clear()
    async with asyncio.timeout(PATIENCE_SECONDS * 4):
        assert await asyncio.gather(*[known.get("a") for _ in range(50)]) == [1] * 50
    assert source.reads == 2


async def test_no_more_than_so_many_are_kept() -> None:
    source, clock = Source(), HandClock(0)
    known = remembered(source, clock, size_max=2)
    source.values = dict.fromkeys("abc", 1)
    for key in "abc":
        await known.get(key)
    assert known.at_hand("a") is None
    assert known.at_hand("c") is not None
