"""/metrics of running services: of one process, of several behind one port, without a database."""

import asyncio
import signal
from contextlib import suppress

import httpx2
import psutil

from commands import COMMAND, development, free_port, program
from fleet import all_ended, database, schedule
from scheduler_svc.store import embedded, migrate
from scheduler_svc.telemetry.families import FAMILIES
from scraping import Page, scrape
from sink import sinking

WORKERS = {"0", "1"}
SELDOM = {
    "scheduler_certificate_expires_seconds",
    "scheduler_job_runs_total",
    "scheduler_rate_limited_total",
}
"""Series that appear with the first event of their kind, or with TLS; no panel uses them."""
ASKED = '{"schedule": {"cron": "0 0 1 1 *"}, "target": {"url": "http://127.0.0.1:9/x"}}'


async def test_with_two_workers_every_scrape_tells_of_both_and_agrees_with_the_api(
    dsn: str,
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    env = development(dsn, port)
    async with (
        sinking() as sink,
        program(*COMMAND, "serve", "--workers", "2", env=env) as running,
        database(dsn) as ledger,
    ):
        await running.line("API ")
        await schedule(ledger, sink.url(), jobs=200, begin_seconds=1, over_seconds=1)
        await all_ended(ledger, jobs=200, seconds=20)
        pages = [await scrape(base) for _ in range(8)]
        async with httpx2.AsyncClient(base_url=base) as http:
            listed = (await http.get("/runs?status=succeeded&limit=500")).json()["items"]
        assert len(listed) == 200
        for page in pages:
            assert page.workers("scheduler_fires_total") == WORKERS
            assert page.total("scheduler_fires_total", trigger="schedule") == 200
            assert page.total("scheduler_runs_total", status="succeeded") == 200
            assert page.of("scheduler_workers") == [2]
            assert page.of("scheduler_workers_silent") == [0]
            assert page.total("scheduler_replicas") == 2
        # The scrapes met both workers, and each is counted once, by the worker that it met.
        counted = pages[-1].total("scheduler_api_requests_total", route="/metrics")
        assert counted == 7


async def test_a_worker_that_is_frozen_is_missed_and_holds_nobody_up(dsn: str) -> None:
    port = free_port()
    async with program(*COMMAND, "serve", "--workers", "2", env=development(dsn, port)) as running:
        await running.line("API ")
        children = psutil.Process(running.pid).children()
        frozen = next(child for child in children if "--lifeline" in child.cmdline())
        frozen.send_signal(signal.SIGSTOP)
        try:
            page = await _from_the_living(f"http://127.0.0.1:{port}")
        finally:
            frozen.send_signal(signal.SIGCONT)
        assert page.of("scheduler_workers_silent") == [1]
        assert len(page.workers("scheduler_slots")) == 1


AT_ONCE = 8
"""The kernel gives a connection to either worker: that none of so many goes to the living one is a
matter of 1 in 256, and they ask again."""


async def _from_the_living(base: str) -> Page:
    """Ask until the kernel gives a question to the worker that lives."""
    async with asyncio.timeout(30):
        while True:
            asked = [asyncio.create_task(scrape(base)) for _ in range(AT_ONCE)]
            try:
                for answer in asyncio.as_completed(asked, timeout=4):
                    with suppress(httpx2.TransportError):
                        return await answer
            except TimeoutError:
                continue
            finally:
                for one in asked:
                    one.cancel()
                await asyncio.gather(*asked, return_exceptions=True)


async def test_a_running_service_exposes_every_metric_of_the_list(dsn: str) -> None:
    port = free_port()
    env = development(dsn, port)
    async with sinking() as sink, program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        async with database(dsn) as ledger:
            await schedule(ledger, sink.url(), jobs=3, begin_seconds=0, over_seconds=0)
            await all_ended(ledger, jobs=3, seconds=20)
        await scrape(f"http://127.0.0.1:{port}")  # the first request is counted when it is over
        page = await scrape(f"http://127.0.0.1:{port}")
    wanted = {series for family in FAMILIES for series in family.series} - SELDOM
    assert wanted <= page.names
    assert page.of("scheduler_database_up") == [1]
    assert page.of("scheduler_partitions_ahead") == [3]
    assert page.of("scheduler_lease_held") == [1]
    assert page.total("scheduler_tick_claimed_runs_sum") == 3
    assert 0 <= page.of("scheduler_tick_age_seconds")[0] < 10


async def test_what_was_asked_for_in_sql_and_waits_is_counted(dsn: str) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with (
        program(*COMMAND, "serve", env=development(dsn, port)) as running,
        database(dsn) as app,
        database(dsn) as other,
    ):
        await running.line("API ")
        async with app.transaction():
            made = await app.fetchval("SELECT scheduler.create_job($1::text::jsonb)", ASKED)
        await _told(base, waiting=0)
        await other.execute("BEGIN")
        await other.execute("SELECT FROM job_timers WHERE job_id = $1 FOR UPDATE", made)
        for _ in range(2):
            await app.execute("SELECT scheduler.trigger_job($1, overlap => 'allow')", str(made))
        await app.execute("UPDATE sql_requests SET asked_at = asked_at - interval '1 hour'")
        page = await _told(base, waiting=2)
        (oldest,) = page.of("scheduler_sql_requests_oldest_seconds")
        assert 3600 <= oldest < 3660
        await other.execute("ROLLBACK")
        page = await _told(base, waiting=0)
        assert page.of("scheduler_sql_requests_oldest_seconds") == [0]


async def _told(base: str, *, waiting: int) -> Page:
    """Scrape until so much waits: what is remembered is good for some seconds."""
    async with asyncio.timeout(30):
        while True:
            page = await scrape(base)
            if page.of("scheduler_sql_requests_waiting") == [waiting]:
                return page
            await asyncio.sleep(0.2)


async def test_without_the_database_a_replica_still_tells_its_own_figures() -> None:
    port = free_port()
    with embedded.throw_away() as server:
        await migrate.migrate(server.dsn)
        async with program(
            *COMMAND, "serve", env=development(server.dsn, port, lease="2s", heartbeat="500ms")
        ) as running:
            await running.line("API ")
            assert (await scrape(f"http://127.0.0.1:{port}")).of("scheduler_database_up") == [1]
            await asyncio.to_thread(server.stop)
            await running.line("lease.lost")
            async with asyncio.timeout(20):
                while (page := await scrape(f"http://127.0.0.1:{port}")).of(
                    "scheduler_database_up"
                ) != [0]:
                    pass  # what is remembered is good for some seconds
            assert page.of("scheduler_lease_held") == [0]
            assert page.of("scheduler_replicas") == []
            assert page.total("scheduler_events_total", event="lease.lost") == 1
