"""Three replicas under load, watched by a real Prometheus: both must count the same.

What the API tells of runs is counted page by page; what it was asked is counted by who asks.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from commands import COMMAND, Program, free_port, program
from fleet import ENVIRONMENT, all_ended, schedule
from prometheus import Prometheus
from scheduler_svc.store.pool import Connection

SETTINGS = {
    "lease": "3s",
    "heartbeat": "1s",
    "replicas_wanted": "3",
    # Few slots, which one key may fill; a breaker that is soon tried again.
    "slots": "40",
    "key_share": "1",
    "breaker_wait": "1s",
    "breaker_wait_max": "2s",
}
ONCE = {"retry": {"max_attempts": 1}}
REPLICAS = 3
EVERY_SECONDS = 1.0
SETTLED = ("succeeded", "failed", "skipped", "cancelled")


@dataclass
class Replicas:
    """Replicas at ports that stay: each can be ended and started again."""

    dsn: str
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(REPLICAS)])
    running: dict[int, tuple[Program, AsyncExitStack]] = field(default_factory=dict)

    def url(self, number: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"

    def program(self, number: int) -> Program:
        return self.running[number][0]

    async def start(self, number: int, **env: str) -> None:
        """Start one, with such variables."""
        stack = AsyncExitStack()
        given = ENVIRONMENT | {
            "DATABASE_URL": self.dsn,
            "SCHEDULER_PORT": str(self.ports[number]),
            **{f"SCHEDULER_{name.upper()}": value for name, value in SETTINGS.items()},
        }
        command = program(*COMMAND, "serve", env=given | env)
        running = await stack.enter_async_context(command)
        await running.line("API http")
        self.running[number] = running, stack

    async def end(self, number: int) -> None:
        """Kill one."""
        _, stack = self.running.pop(number)
        await stack.aclose()

    async def again(self, number: int, **env: str) -> None:
        await self.end(number)
        await self.start(number, **env)


@asynccontextmanager
async def replicas(dsn: str) -> AsyncIterator[Replicas]:
    """Run three until the block ends."""
    fleet = Replicas(dsn)
    try:
        for number in range(REPLICAS):
            await fleet.start(number)
        yield fleet
    finally:
        for number in list(fleet.running):
            await fleet.end(number)


@dataclass
class Callers:
    """Who asks the API, and what they were answered."""

    fleet: Replicas
    answered: Counter[tuple[str, ...]] = field(default_factory=Counter)

    async def ask(self, http: httpx2.AsyncClient, method: str, path: str, **given: Any) -> Any:
        route = given.pop("route", path.partition("?")[0])
        number = self.answered.total() % REPLICAS
        answer = await http.request(method, f"{self.fleet.url(number)}{path}", **given)
        self.answered[method, route, str(answer.status_code)] += 1
        return answer.json()

    async def run(self, stop: asyncio.Event, *, a_second: float) -> None:
        """Create, read, list and ask for what is not there, at a pace, until told to stop."""
        job = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}
        async with httpx2.AsyncClient(timeout=30) as http:
            while not stop.is_set():
                made = await self.ask(http, "POST", "/jobs", json=job)
                await self.ask(http, "GET", f"/jobs/{made['id']}", route="/jobs/{id}")
                await self.ask(http, "GET", "/jobs/none-such", route="/jobs/{id}")
                await self.ask(http, "GET", "/jobs?limit=1")
                await self.ask(http, "POST", "/jobs", json={})
                await asyncio.sleep(5 / a_second)  # the pace of the load


async def load(ledger: Connection, url: str, *, seconds: float, a_second: float) -> int:
    """Schedule what ends well, ill and after retries; return how many runs that makes."""
    kinds: dict[str, tuple[int, str, dict[str, Any]]] = {
        "well": (int(a_second * seconds * 0.9), url, {}),
        # An answer that the job does not take: it fails, and speaks against nobody.
        "ill": (int(a_second * seconds * 0.1), url, ONCE | {"success_status": ["404"]}),
        "again": (3, "http://127.0.0.1:1/", {"retry": {"max_attempts": 2, "initial_delay": "1s"}}),
    }
    for kind, (jobs, where, given) in kinds.items():
        target = {"url": where, "concurrency_key": kind}
        if "success_status" in given:
            target["success_status"] = given.pop("success_status")
        await schedule(
            ledger, url, jobs=jobs, begin_seconds=3, over_seconds=seconds, target=target, **given
        )
    return sum(jobs for jobs, _, _ in kinds.values())


async def told(base: str) -> dict[str, Counter[tuple[str, ...]]]:
    """Count runs, attempts, triggers and skipped occurrences by the API, page by page."""
    found: dict[str, Counter[tuple[str, ...]]] = {
        name: Counter() for name in ("runs", "attempts", "fires", "occurrences_skipped", "retries")
    }
    async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
        for status in SETTLED:
            cursor: str | None = ""
            while cursor is not None:
                page = (await http.get(f"/runs?status={status}&limit=500{cursor}")).json()
                for run in page["items"]:
                    _count(run, found)
                after = page["next_cursor"]
                cursor = None if after is None else f"&cursor={after}"
    return found


def _count(run: dict[str, Any], found: dict[str, Counter[tuple[str, ...]]]) -> None:
    found["runs"][run["status"], run["reason"] or ""] += 1
    if run["status"] == "skipped":
        found["occurrences_skipped"][run["reason"],] += run["occurrences"]
    if run["attempts"]:
        found["fires"][run["trigger"],] += 1
        found["retries"][()] += len(run["attempts"]) - 1
    for attempt in run["attempts"]:
        found["attempts"][attempt["outcome"],] += 1


LABELS = {
    "runs": ("status", "reason"),
    "attempts": ("outcome",),
    "fires": ("trigger",),
    "occurrences_skipped": ("reason",),
    "retries": (),
    "api_requests": ("method", "route", "status"),
}


async def agree(
    seen: Prometheus, counts: dict[str, Counter[tuple[str, ...]]], *, seconds: float
) -> int:
    """See every count become the same in Prometheus; return how many series were compared."""
    compared = 0
    for family, counted in counts.items():
        names = LABELS[family]
        for labels, count in counted.items():
            chosen = ",".join(
                f'{name}="{value}"' for name, value in zip(names, labels, strict=True)
            )
            question = f"sum(scheduler_{family}_total{{{chosen}}})"
            await seen.until(question, count, seconds=seconds)
            compared += 1
        if family != "api_requests":  # of those, others ask for pages and metrics too
            total = f"sum(scheduler_{family}_total)"
            await seen.until(total, counted.total(), seconds=seconds)
    return compared


async def under_load(
    seen: Prometheus,
    fleet: Replicas,
    ledger: Connection,
    url: str,
    *,
    seconds: float,
    a_second: float,
) -> str:
    """Load for so long, let all end, and compare; return what was found, as a sentence."""
    callers, stop, loop = Callers(fleet), asyncio.Event(), asyncio.get_running_loop()
    # What `increase` is to see must have been scraped before the first fire.
    await seen.until('count(scheduler_fires_total{trigger="schedule"} == 0)', REPLICAS, seconds=60)
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(callers.run(stop, a_second=a_second / 2))
        jobs = await load(ledger, url, seconds=seconds, a_second=a_second)
        # One whose run is always under way when the next is due, so that occurrences are skipped.
        slow = {"url": url.replace("/wait/20", "/wait/2500"), "concurrency_key": "slow"}
        asked = {"schedule": {"every": "1s"}, "target": slow, "overlap": "skip"}
        async with httpx2.AsyncClient(base_url=fleet.url()) as http:
            made = (await http.post("/jobs", json=asked)).json()
            callers.answered["POST", "/jobs", "201"] += 1
            await asyncio.sleep(seconds + 3)  # the length of the load
            (await http.post(f"/jobs/{made['id']}/pause")).raise_for_status()
        stop.set()
    await all_ended(ledger, jobs=jobs, seconds=60)
    await _quiet(ledger)
    counts = await told(fleet.url())
    compared = await agree(seen, counts | {"api_requests": callers.answered}, seconds=20)
    fires = counts["fires"].total()
    since = int(loop.time() - began) + 10
    rising = await seen.ask(f"sum(increase(scheduler_fires_total[{since}s]))")
    # `increase` extrapolates to the ends of its window; without that it is equal.
    risen = "sum(max_over_time({0}[{1}s]) - min_over_time({0}[{1}s]))"
    await seen.until(risen.format("scheduler_fires_total", since), fires, seconds=5)
    assert counts["occurrences_skipped"]["overlap",] > 0
    assert counts["retries"].total() > 0
    ends = {"/".join(filter(None, end)): count for end, count in counts["runs"].items()}
    return (
        f"{fires} fires over {seconds:g} s, {callers.answered.total()} requests:"
        f" {compared} series equal ({json.dumps(ends)}); increase() says {rising:.1f} fires"
    )


async def _quiet(ledger: Connection, seconds: float = 30) -> None:
    """Wait until nothing is unfinished."""
    async with asyncio.timeout(seconds):
        # Rows that other processes write: there is no event to wait for.
        while await ledger.fetchval(UNFINISHED):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


UNFINISHED = "SELECT count(*) FROM runs WHERE status IN ('due', 'running')"


async def waits(seen: Prometheus, wanted: Sequence[str], *, firing: bool, seconds: float) -> None:
    """Wait until these alerts fire, or do not."""
    names = set(wanted)
    try:
        async with asyncio.timeout(seconds):
            # In another process: there is no event to wait for.
            while (names & await seen.firing()) != (names if firing else set()):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    except TimeoutError:
        now = await seen.firing()
        raise AssertionError(f"wanted {firing} of {names}, firing: {now}") from None
