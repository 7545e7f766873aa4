"""The corpus of addresses at create and update: all refused, with a reason, and nothing written."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from msgspec import structs

from factories import body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.delivery.wire import SENDERS_OWN
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.store.pool import Pool
from ssrf import CORPUS, HEADERS, TAKEN

PUBLIC = "https://ok.example/"
VERBS = (
    ("POST", "/jobs"),
    ("POST", "/jobs?dry_run=true"),
    ("PUT", "/jobs/new"),
    ("PUT", "/jobs/there"),
    ("PATCH", "/jobs/there"),
    ("PATCH", "/jobs/there?dry_run=true"),
)


async def strictly(deps: Deps, rules: EgressRules) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(build_app(structs.replace(deps, egress=rules)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as opened:
        yield opened


@pytest.fixture
async def strict(deps: Deps) -> AsyncIterator[httpx2.AsyncClient]:
    """The service of the production profile, which allows nothing."""
    async for opened in strictly(deps, EgressRules.parse(own=[("0.0.0.0", 8080)])):
        yield opened


@pytest.mark.parametrize("row", CORPUS)
async def test_every_address_of_the_corpus_is_refused_by_every_verb(
    row: str, strict: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await strict.put("/jobs/there", json=body(target={"url": PUBLIC}))
    assert made.status_code == 201
    taken = []
    for url in CORPUS[row]:
        for method, path in VERBS:
            sent = body(target={"url": url})
            answer = await strict.request(method, path, json=sent)
            faults = answer.json().get("errors", [])
            if answer.status_code != 422 or [one["pointer"] for one in faults] != ["/target/url"]:
                taken.append((url, method, path, answer.status_code))
            elif len(faults[0]["detail"]) < 10:
                taken.append((url, method, path, faults[0]["detail"]))
    assert taken == []
    assert await pool.fetchval("SELECT array_agg(name) FROM jobs") == ["there"]
    assert (await strict.get("/jobs/there")).json()["revision"] == 1


async def test_its_public_neighbours_are_taken(strict: httpx2.AsyncClient) -> None:
    for url in TAKEN:
        answer = await strict.post("/jobs", json=body(target={"url": url}))
        assert answer.status_code == 201, (url, answer.text)


async def test_what_the_operator_lists_is_taken_and_no_more(deps: Deps) -> None:
    rules = EgressRules.parse(allow=["10.1.0.0/16", "[fd00::1]:8443", "intranet", "*.svc.internal"])
    async for http in strictly(deps, rules):
        for url, status in (
            ("http://10.1.2.3/", 201),
            ("http://[::ffff:10.1.2.3]/", 201),
            ("http://10.1.2.3:6379/", 201),
            ("https://[fd00::1]:8443/", 201),
            ("http://intranet/", 201),
            ("http://a.svc.internal:9200/", 201),
            ("http://10.2.0.1/", 422),
            ("http://[::ffff:10.2.0.1]/", 422),
            ("http://[64:ff9b::10.2.0.1]/", 422),
            ("http://169.254.169.254/", 422),
            ("https://[fd00::1]/", 422),
            ("https://[fd00::2]:8443/", 422),
            ("http://intranet.local/", 422),
            ("http://svc.internal/", 422),
        ):
            answer = await http.post("/jobs", json=body(target={"url": url}))
            assert answer.status_code == status, (url, answer.text)


async def test_headers_that_frame_split_or_impersonate_are_refused(
    strict: httpx2.AsyncClient,
) -> None:
    names = [(name.decode(), "x") for name in SENDERS_OWN if name]
    taken = []
    for name, value in [*HEADERS, *names]:
        sent = body(target={"url": PUBLIC, "headers": {name: value}})
        for method, path in (("POST", "/jobs"), ("PUT", "/jobs/new")):
            answer = await strict.request(method, path, json=sent)
            if answer.status_code != 422:
                taken.append((name, value, method, answer.status_code))
    assert taken == []
