"""What a real Prometheus knows of real replicas is what the API knows.

The short form takes seconds. `pytest -m chaos tests/cluster/test_observed.py` loads three replicas
for a minute, breaks what each alert watches, and sees it fire and clear.
"""

import inspect
import os
import re
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import yaml

from breaking import BREAKS, FAKETIME, Rig, break_everything, other_clock, quick_rules
from fleet import all_ended, database, replica, schedule
from observed import replicas, under_load
from prometheus import PROMETHEUS, RULES, Prometheus, prometheus
from scheduler_svc.store import embedded, migrate
from sink import sinking

SECONDS = int(os.environ.get("OBSERVED_SECONDS", "60"))

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")


async def count(base: str, status: str) -> int:
    """Count runs by the API, page by page."""
    found, cursor = 0, ""
    async with httpx2.AsyncClient(base_url=base) as http:
        while True:
            page = (await http.get(f"/runs?status={status}&limit=500{cursor}")).json()
            found += len(page["items"])
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


async def agrees(seen: Prometheus, base: str, *, seconds: float) -> dict[str, int]:
    """See every count of ended runs become the same in Prometheus; return them."""
    counts = {}
    for status in ("succeeded", "failed", "skipped"):
        counts[status] = await count(base, status)
        question = f'sum(scheduler_runs_total{{status="{status}"}})'
        await seen.until(question, counts[status], seconds=seconds)
    return counts


async def test_it_counts_what_the_api_counts_and_takes_every_rule(dsn: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        fleet = [await stack.enter_async_context(replica(dsn)) for _ in range(2)]
        ports = [one.port for one in fleet]
        seen = await stack.enter_async_context(prometheus(tmp_path, ports))
        ledger = await stack.enter_async_context(database(dsn))
        await schedule(ledger, sink.url(), jobs=300, begin_seconds=1, over_seconds=2)
        nobody = {"retry": {"max_attempts": 1}}
        closed = "http://127.0.0.1:1/"
        await schedule(ledger, closed, jobs=40, begin_seconds=1, over_seconds=1, **nobody)
        await all_ended(ledger, jobs=340, seconds=30)
        counts = await agrees(seen, fleet[0].url(""), seconds=20)
        assert counts == {"succeeded": 300, "failed": 40, "skipped": 0}
        await seen.until("sum(scheduler_fires_total)", 340, seconds=5)
        await seen.until("max(sum by (instance) (scheduler_replicas))", 2, seconds=5)
        rules = await seen.rules()
        assert {rule["health"] for rule in rules} == {"ok"}
        assert len(rules) == RULES.read_text().count("- alert:")


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_over_load_counts_agree_and_every_alert_fires_and_clears(tmp_path: Path) -> None:
    """What deploy/prove_metrics.py does, with a minute of load."""
    with embedded.throw_away() as server:
        await migrate.migrate(server.dsn)
        async with AsyncExitStack() as stack:
            sink = await stack.enter_async_context(sinking())
            ledger = await stack.enter_async_context(database(server.dsn))
            fleet = await stack.enter_async_context(replicas(server.dsn))
            rules = quick_rules(tmp_path)
            seen = await stack.enter_async_context(prometheus(tmp_path, fleet.ports, rules=rules))
            url = sink.url("/wait/20")
            print(await under_load(seen, fleet, ledger, url, seconds=SECONDS, a_second=30))
            proved = await break_everything(Rig(seen, fleet, ledger, sink, server.pid))
            left = {rule["name"] for rule in await seen.rules()} - proved
            assert left == (set() if FAKETIME else {"SchedulerClockOff"})


def test_there_is_something_that_breaks_what_each_alert_watches() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    broken = "".join(inspect.getsource(one) for one in (*BREAKS, other_clock))
    assert set(re.findall(r"Scheduler\w+", broken)) == alerts


def test_the_shortened_rules_have_the_same_expressions(tmp_path: Path) -> None:
    """But for windows and patience nothing of a rule is changed."""

    def bare(path: Path) -> list[tuple[str, str]]:
        (group,) = yaml.safe_load(path.read_text())["groups"]
        windows = r"\[\w+\]|offset \w+"
        return [(rule["alert"], re.sub(windows, "", rule["expr"])) for rule in group["rules"]]

    assert bare(quick_rules(tmp_path)) == bare(RULES)
