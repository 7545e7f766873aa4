"""The load: jobs made by the API, as any caller would; what was made is noted."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx2

from chaos.rig.plan import Load
from chaos.rig.world import World

LEADS_SECONDS = (3.0, 10.0, 40.0)
"""How far ahead the first instant is; further where the machine had too much to do for that."""
BURST_SECONDS = 10.0
CROWD_SECONDS = 30.0
PATIENCE = 60.0
TRIES_MAX = 10
MEDDLED = "meddled"


async def load(
    world: World,
    http: httpx2.AsyncClient,
    load: Load,
    *,
    now_s: Callable[[], Awaitable[float]],
    seconds: float,
) -> float:
    """Make the jobs of a load, one-shots spread evenly and those that repeat; return from when on
    they occur, by the loop's clock.
    """
    loop = asyncio.get_running_loop()
    for lead in LEADS_SECONDS:
        begun = loop.time() + lead
        jobs = _jobs(world, load, begin=await now_s() + lead, seconds=seconds)
        if await create(world, http, jobs, key=f"{jobs[0]['name']} {lead}"):
            return begun
    raise AssertionError("the first instants had passed before the jobs were made")


def _jobs(world: World, load: Load, *, begin: float, seconds: float) -> list[dict[str, Any]]:
    target = {"url": world.receiver.url(f"/wait/{load.wait_ms}")}
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
    return jobs


def _stamp(seconds: float) -> str:
    at = datetime.fromtimestamp(round(seconds, 3), UTC)
    return at.isoformat(timespec="milliseconds")


async def meddled(world: World, http: httpx2.AsyncClient, count: int) -> None:
    """Make jobs of each second for callers to meddle with; their path tells their revision."""
    job = {
        "schedule": {"every": "1s"},
        "target": {"url": world.receiver.url("/wait/5/first")},
        "overlap": "allow",
    }
    jobs = [job | {"name": f"{MEDDLED}-{number}"} for number in range(count)]
    assert await create(world, http, jobs, key=MEDDLED)


async def crowd(world: World, http: httpx2.AsyncClient, load: Load, *, begin: float) -> None:
    """Make the one-shots of several namespaces, all for one instant."""
    target = {"url": world.receiver.url(f"/wait/{load.wait_ms}")}
    for name, many in load.crowds:
        at = {"schedule": {"at": _stamp(begin)}, "target": target}
        jobs = [at | {"name": f"{name}-{number}"} for number in range(many)]
        assert await create(world, http, jobs, key=name, namespace=name), "too slow for a crowd"


def in_namespace(name: str) -> dict[str, str]:
    """Return the header that means a namespace."""
    return {"Scheduler-Namespace": name}


async def create(
    world: World,
    http: httpx2.AsyncClient,
    jobs: list[dict[str, Any]],
    *,
    key: str,
    namespace: str = "default",
) -> bool:
    """Make many jobs in one request and note each as it was made; False where it is too late."""
    first = world.fleet[0]
    url = first.url("/jobs/bulk")
    given = {"Idempotency-Key": key} | in_namespace(namespace)
    answer = await patiently(
        lambda: http.post(url, json={"jobs": jobs}, headers=given, timeout=PATIENCE)
    )
    if answer.status_code == 422 and "past" in answer.text:
        return False
    assert answer.status_code == 201, answer.text
    prefix, query = jobs[0]["name"].split("-")[0], {"limit": "500"}
    if prefix == MEDDLED:
        query["name_prefix"] = MEDDLED
    made = {item["id"] for item in answer.json()["items"]}
    async for job in pages(http, first.url("/jobs"), query, in_namespace(namespace)):
        if job["id"] in made:
            kept = {name: job[name] for name in ("id", "name", "schedule", "overlap", "created_at")}
            world.notes.write("job", **kept, grace=job["misfire"]["grace"], misfire=job["misfire"])
    return True


async def patiently(ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """Ask again where a machine with too much to do refuses, when nothing is broken on purpose."""
    answer = await ask()
    for _ in range(TRIES_MAX):
        if answer.status_code != 503:
            break
        answer = await ask()
    return answer


async def pages(
    http: httpx2.AsyncClient,
    url: str,
    query: dict[str, str],
    headers: dict[str, str] | None = None,
) -> Any:
    """Yield the items of a list, page by page."""
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        wanted = query | more
        answer = await patiently(
            partial(http.get, url, params=wanted, headers=headers, timeout=PATIENCE)
        )
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page["items"]:
            yield item
        if (cursor := page["next_cursor"]) is None:
            return
