"""The load: jobs made by the API, as any caller would; what was made is noted."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx2

from chaos.rig.plan import Load
from chaos.rig.world import World

LEAD_SECONDS = 3.0
BURST_SECONDS = 10.0
PATIENCE = 60.0
TRIES_MAX = 10
MEDDLED = "meddled"


async def load(
    world: World, http: httpx2.AsyncClient, load: Load, *, now_s: float, seconds: float
) -> None:
    """Make the jobs of a load: one-shots spread evenly, and those that repeat."""
    target = {"url": world.receiver.url(f"/wait/{load.wait_ms}")}
    begin = now_s + LEAD_SECONDS
    instants = [begin + n / load.per_second for n in range(int(load.per_second * seconds))]
    instants += [begin + BURST_SECONDS] * load.burst
    jobs: list[dict[str, Any]] = [
        {"name": f"once-{number}", "schedule": {"at": _stamp(at)}, "target": target}
        for number, at in enumerate(instants)
    ]
    for group, (many, definition) in enumerate(load.repeating):
        body: dict[str, Any] = {"target": target} | dict(definition)
        if "path" in definition:
            timeout = body.pop("timeout", "30s")
            body["target"] = {"url": world.receiver.url(body.pop("path")), "timeout": timeout}
        jobs += [body | {"name": f"again-{group}-{number}"} for number in range(many)]
    await create(world, http, jobs)


def _stamp(seconds: float) -> str:
    at = datetime.fromtimestamp(round(seconds, 3), UTC)
    return at.isoformat(timespec="milliseconds")


async def meddled(world: World, http: httpx2.AsyncClient, count: int) -> None:
    """Make jobs of each second for callers to meddle with; their path tells their revision."""
    await create(
        world,
        http,
        [
            {
                "name": f"{MEDDLED}-{number}",
                "schedule": {"every": "1s"},
                "target": {"url": world.receiver.url("/wait/5/first")},
                "overlap": "allow",
            }
            for number in range(count)
        ],
    )


async def create(world: World, http: httpx2.AsyncClient, jobs: list[dict[str, Any]]) -> None:
    """Make many jobs in one request and note each as it was made."""
    if not jobs:
        return
    first = world.fleet[0]
    key = {"Idempotency-Key": jobs[0]["name"]}
    url = first.url("/jobs/bulk")
    answer = await patiently(
        lambda: http.post(url, json={"jobs": jobs}, headers=key, timeout=PATIENCE)
    )
    assert answer.status_code == 201, answer.text
    prefix, query = jobs[0]["name"].split("-")[0], {"limit": "500"}
    if prefix == MEDDLED:
        query["name_prefix"] = MEDDLED
    made = {item["id"] for item in answer.json()["items"]}
    async for job in pages(http, first.url("/jobs"), query):
        if job["id"] in made:
            kept = {name: job[name] for name in ("id", "name", "schedule", "overlap", "created_at")}
            world.notes.write("job", **kept, grace=job["misfire"]["grace"])


async def patiently(ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """Ask again where a machine with too much to do refuses, when nothing is broken on purpose."""
    answer = await ask()
    for _ in range(TRIES_MAX):
        if answer.status_code != 503:
            break
        answer = await ask()
    return answer


async def pages(http: httpx2.AsyncClient, url: str, query: dict[str, str]) -> Any:
    """Yield the items of a list, page by page."""
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        wanted = query | more
        answer = await patiently(partial(http.get, url, params=wanted, timeout=PATIENCE))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page["items"]:
            yield item
        if (cursor := page["next_cursor"]) is None:
            return
