"""No secret appears anywhere but at its target: canaries at every place, then a search of all.

A real replica at the loudest log level, targets that give back whatever they were sent, requests
that are refused: afterwards all tables as text, all lines of the log and all answers are searched.
"""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from fleet import ENDED, database, replica
from receiver import Received, Receiver, Wire, answer, receiving, reset
from scheduler_svc.store.pool import Connection
from sealing import KEY_TEXT

HEAD = "canary-5e7d"
pytestmark = pytest.mark.timeout(120)


def canary(place: str) -> str:
    return f"{HEAD}-of-{place}"


IN_JOBS: dict[str, dict[str, Any]] = {
    "bearer-header": {"headers": {"Authorization": f"Bearer {canary('bearer-header')}"}},
    "basic-header": {
        "headers": {
            "Authorization": "Basic "
            + base64.b64encode(f"me:{canary('basic-header')}".encode()).decode()
        }
    },
    "cookie": {"headers": {"Cookie": f"a=b; session={canary('cookie')}"}},
    "key-header": {"headers": {"x-API-key": canary("key-header")}},
    "token-header": {"headers": {"X-Some-Token": f"{{{{run.id}}}}-{canary('token-header')}"}},
    "auth-basic": {"auth": {"type": "basic", "username": "me", "password": canary("auth-basic")}},
    "auth-bearer": {"auth": {"type": "bearer", "token": canary("auth-bearer")}},
    "named-header": {"headers": {"X-Mine": "{{secret:named-header}}"}},
    "named-query": {"query": "?a={{secret:named-query}}"},
    "named-bearer": {"auth": {"type": "bearer", "token": "{{secret:named-bearer}}"}},
    "oidc": {"auth": {"type": "oidc", "audience": "https://target.example"}},
}
NAMED = {
    name: f'{canary(name)} "&ü<' if name == "named-query" else canary(name)
    for name in IN_JOBS
    if name.startswith("named-")
}
BEHAVIOURS = ("/echo", "/fails", "/reset", "/away", "/cut")


async def _echo(wire: Wire, received: Received, status: int = 200) -> None:
    """Give back every header and the body, in headers and in the body."""
    sent = {"target": received.target, **received.headers}
    headers = {f"X-Echo-{name}": value for name, value in sent.items()}
    body = json.dumps(sent).encode() + received.raw
    await answer(status, body, headers)(wire, received)


async def _fail(wire: Wire, received: Received) -> None:
    await _echo(wire, received, 500)


async def _cut(wire: Wire, received: Received) -> None:
    """Give back so much before a secret that the cap cuts through it."""
    secrets = [value for value in received.headers.values() if HEAD in value] or ["none"]
    text = secrets[0][secrets[0].find(HEAD) :] if secrets[0] != "none" else "none"
    await answer(200, b"x" * (8192 - len(HEAD) - 3) + text.encode())(wire, received)


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiving() as receiver, receiving() as elsewhere:
        receiver.behaviours |= {
            "/echo": _echo,
            "/fails": _fail,
            "/reset": reset(),
            "/away": answer(307, b"", {"Location": elsewhere.url("/echo")}),
            "/cut": _cut,
        }
        elsewhere.default = _echo
        yield receiver


async def test_no_canary_is_found_in_the_database_the_log_or_an_answer(
    dsn: str, target: Receiver, tmp_path: Path
) -> None:
    told: list[str] = []
    settings = {
        "secret_keys": KEY_TEXT,
        "log_level": "debug",
        "public_url": "https://scheduler.example",
        "data_dir": str(tmp_path),
        # All targets share a host, and many of them fail: none is to be spared here.
        "breaker_failures": "0",
    }
    async with replica(dsn, **settings) as service, database(dsn) as ledger:
        base = service.url("")
        async with httpx2.AsyncClient(base_url=base, timeout=20) as http:
            signing = await _seed(http, told)
            runs = await _make_jobs(http, target, told)
            runs += await _trigger_with_overrides(http, told)
            await _all_ended(ledger, runs)
            await _read_everything(http, told)
        service.program.tell(signal.SIGTERM)
        assert await service.program.end() == 0
        dump = await _dump(ledger)
    tokens = _sent_tokens(target)
    _assert_it_was_sent(target, signing, tokens)
    wanted = _spellings([HEAD, *signing, *tokens, KEY_TEXT])
    assert len(dump) > 10_000
    assert len(service.program.lines) > runs
    for place, text in {
        "database": dump,
        "log": service.program.output,
        "answers": "\n".join(told),
    }.items():
        found = [one for one in wanted if one in text]
        assert found == [], f"{place}: {_around(text, found[0])}"


async def _seed(http: httpx2.AsyncClient, told: list[str]) -> list[str]:
    """Keep named secrets and secrets that sign; return the latter, shown in that answer alone."""
    for name, value in NAMED.items():
        answered = await http.put(f"/secrets/{name}", json={"value": value})
        assert answered.status_code == 201, answered.text
        told.append(answered.text)
    long = await http.put("/secrets/long", json={"value": canary("long") * 1000})
    odd = await http.put("/secrets/odd", json={"value": [canary("odd")]})
    assert (long.status_code, odd.status_code) == (422, 422)
    told += [long.text, odd.text]
    made = [
        await http.post("/signing-secrets"),
        await http.post("/signing-secrets", json={"host": "127.0.0.1"}),
    ]
    return [one.json()["secret"] for one in made]


async def _make_jobs(http: httpx2.AsyncClient, target: Receiver, told: list[str]) -> int:
    """Make a job of each kind for each target, run it, change it in every way; count the runs."""
    runs = 0
    for path in BEHAVIOURS:
        for name, given in IN_JOBS.items():
            sent = _job(target.url(path), given)
            job = f"/jobs/{name}.{path[1:]}"
            bad = {**sent, "priority": "high", "target": {**sent["target"], "sing": True}}
            again = {"target": {"headers": {"X-Late-Key": canary("late")}}}
            answers = [
                await http.put(job, json=bad),
                await http.put(f"{job}?dry_run=true", json=sent),
                await http.put(job, json=sent),
                await http.put(job, json=sent),
                await http.patch(job, json=again),
                await http.get(f"{job}?view=spec"),
                await http.post(f"{job}/trigger", json={"overlap": "allow"}),
            ]
            assert [one.status_code for one in answers] == [422, 200, 201, 200, 200, 200, 202], [
                one.text for one in answers
            ]
            told += [one.text for one in answers]
            runs += 1
    return runs


async def _trigger_with_overrides(http: httpx2.AsyncClient, told: list[str]) -> int:
    """Give secrets to single runs, and repeat one of them."""
    headers = {"X-Given-Token": canary("override"), "Authorization": f"Bearer {canary('over')}"}
    for path in ("/jobs/oidc.echo/trigger", "/jobs/cookie.fails/trigger"):
        answered = await http.post(path, json={"headers": headers, "overlap": "allow"})
        assert answered.status_code == 202, answered.text
        told.append(answered.text)
    bad = await http.post(
        "/jobs/oidc.echo/trigger", json={"headers": {**headers, "Host": canary("h")}}
    )
    assert bad.status_code == 422
    told.append(bad.text)
    return 2


def _job(url: str, given: dict[str, Any]) -> dict[str, Any]:
    target = {name: value for name, value in given.items() if name != "query"}
    return {
        "schedule": {"every": "1d"},
        "target": {"url": url + given.get("query", ""), "redirects": 1, "body": {"a": 1}, **target},
        "retry": {"max_attempts": 2, "initial_delay": "1s", "jitter": "none"},
    }


async def _all_ended(ledger: Connection, runs: int) -> None:
    async with asyncio.timeout(60):
        # Rows that another process writes: there is no event to wait for.
        while await ledger.fetchval(ENDED) < runs:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _read_everything(http: httpx2.AsyncClient, told: list[str]) -> None:
    paths = ["/jobs?limit=500", "/secrets", "/signing-secrets", "/replicas", "/forecast"]
    page = (await http.get("/runs?limit=500")).json()["items"]
    assert {run["status"] for run in page} == {"succeeded", "failed"}
    paths += [f"/runs/{run['id']}" for run in page]
    told += [(await http.get(path)).text for path in paths]
    told.append((await http.post(f"/runs/{page[0]['id']}/replay")).text)
    assert any('"***"' in text or "***" in text for text in told)


async def _dump(ledger: Connection) -> str:
    """Return every row of every table as text."""
    tables = await ledger.fetch(
        """SELECT quote_ident(relname) FROM pg_class WHERE relkind IN ('r', 'p')
        AND NOT relispartition AND relnamespace = 'public'::regnamespace"""
    )
    rows = [
        row[0]
        for table in tables
        for row in await ledger.fetch(f"SELECT t::text FROM {table[0]} AS t")
    ]
    return "\n".join(rows)


def _sent_tokens(target: Receiver) -> list[str]:
    sent = {one.headers.get("authorization", "") for one in target.requests}
    return [value.removeprefix("Bearer ") for value in sent if value.startswith("Bearer eyJ")]


def _assert_it_was_sent(target: Receiver, signing: list[str], tokens: list[str]) -> None:
    """The search means something only where the secrets were there to be found."""
    everything = "\n".join(one.raw.decode("latin-1") for one in target.requests)
    for name in [*IN_JOBS, "late", "override", "over"]:
        if name in {"oidc", "basic-header", "auth-basic"}:
            continue  # they go out encoded
        assert canary(name) in everything, name
    assert base64.b64encode(f"me:{canary('auth-basic')}".encode()).decode() in everything
    assert len(signing) == 2
    assert tokens
    assert "webhook-signature: v1," in everything


def _spellings(values: list[str]) -> list[str]:
    """Return what to look for: values, and what of them shows however the rest is encoded."""
    found = []
    for value in values:
        whole = value.removeprefix("whsec_")
        found += [whole, quote(whole, safe="")]
        found += [base64.b64encode(b"x" * n + whole.encode()).decode()[4:-4] for n in range(3)]
    return found


def _around(text: str, found: str) -> str:
    at = text.find(found)
    return text[max(0, at - 300) : at + 100]
