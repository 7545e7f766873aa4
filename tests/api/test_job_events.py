"""Each change of a job is told once, after it is true."""

import httpx2
import msgspec

from factories import body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.events import EventName
from scheduler_svc.telemetry.tally import Tally


async def test_each_change_of_a_job_is_told_once_and_no_change_is_not(deps: Deps) -> None:
    told: list[str] = []

    def listen(name: EventName, /, **fields: object) -> None:
        assert "job_id" in fields
        told.append(name.value)

    app = build_app(msgspec.structs.replace(deps, on_event=listen))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        for method, path, sent, expected in (
            ("POST", "/jobs", body(name="a"), ["job.created"]),
            ("POST", "/jobs", body(name="a"), []),
            ("POST", "/jobs?dry_run=true", body(name="x"), []),
            ("PUT", "/jobs/b", body(), ["job.created"]),
            ("PUT", "/jobs/b", body(), []),
            ("PUT", "/jobs/b", body(priority=1), ["job.updated"]),
            ("PUT", "/jobs/b?dry_run=true", body(priority=2), []),
            ("PATCH", "/jobs/b", {}, []),
            ("PATCH", "/jobs/b", {"priority": 3}, ["job.updated"]),
            ("POST", "/jobs/b/pause", {}, ["job.paused"]),
            ("POST", "/jobs/b/pause", {}, []),
            ("POST", "/jobs/b/resume", {}, ["job.resumed"]),
            ("POST", "/jobs/b/resume", {}, []),
            ("DELETE", "/jobs/b", None, ["job.deleted"]),
            ("DELETE", "/jobs/b", None, []),
        ):
            told.clear()
            await http.request(method, path, json=sent)
            assert told == expected, (method, path)


async def test_a_waiting_run_that_is_cancelled_is_told_once_with_all_that_is_counted(
    deps: Deps,
) -> None:
    tally, told = Tally(), []

    def listen(name: EventName, /, **fields: object) -> None:
        told.append(name.value)
        tally(name, **fields)

    app = build_app(msgspec.structs.replace(deps, on_event=listen))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        await http.post("/jobs", json=body(name="a"))
        run = (await http.post("/jobs/a/trigger")).json()
        told.clear()
        for expected in (200, 409):
            assert (await http.post(f"/runs/{run['id']}/cancel")).status_code == expected
    assert told == ["run.cancelled"]
    counted = [one.labels for one in tally.snapshot()["scheduler_runs"] if one.value]
    assert counted == [("cancelled", "cancelled")]
