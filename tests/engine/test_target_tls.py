"""A job's own trust reaches the wire: it is delivered where only its own authority vouches."""

import ssl

import msgspec
import trustme

from pem import ca_of, chain_of, key_of
from receiver import receiving
from rig import HOUR, rigged
from scheduler_svc.domain.secrecy import place_of_target
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.vault import key_id
from sealing import OTHER_KEY, ring_of


async def test_a_target_is_verified_by_the_authority_that_its_job_names(engine_pool: Pool) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "inner.example").configure_cert(context)
    async with receiving(tls=context) as receiver, rigged(engine_pool, receiver) as rig:
        told = {}
        for name, tls in (
            ("none", None),
            ("own", {"ca": ca_of(authority)}),
            ("named", {"ca": ca_of(authority), "server_name": "inner.example"}),
            ("misnamed", {"ca": ca_of(authority), "server_name": "other.example"}),
            ("stranger", {"ca": ca_of(stranger)}),
        ):
            told[name] = await rig.job(
                schedule={"every": "1h"}, target={"tls": tls}, retry={"max_attempts": 1}
            )
        await rig.pass_time(HOUR)
        await rig.work()
        said = {name: (await rig.run(job))["status"] for name, job in told.items()}
        assert said == {
            "none": "failed",
            "own": "succeeded",
            "named": "succeeded",
            "misnamed": "failed",
            "stranger": "failed",
        }
        # How long each phase took is part of the record, of what came to nothing too.
        for name, phases in (
            ("own", {"connect_ms", "tls_ms", "first_byte_ms"}),
            ("stranger", {"connect_ms"}),
        ):
            (attempt,) = (await rig.run(told[name]))["attempts"]
            timing = msgspec.json.decode(attempt)["timing"]
            assert {phase for phase, took in timing.items() if took is not None} == phases


async def test_a_key_that_can_not_be_opened_blocks_the_run_and_names_what_is_missing(
    engine_pool: Pool,
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("client.example")
    async with receiving() as receiver, rigged(engine_pool, receiver) as rig:
        tls = {"certificate": chain_of(leaf), "key": key_of(leaf)}
        job = await rig.job(
            schedule={"every": "1h"}, target={"url": "https://target.example/", "tls": tls}
        )
        sealed = ring_of(OTHER_KEY).seal(key_of(leaf), place_of_target("default", job)("tls/key"))
        await engine_pool.execute(
            "UPDATE jobs SET definition ="
            " jsonb_set(definition::jsonb, '{target,tls,key}', to_jsonb($1::text))::json",
            sealed,
        )
        await rig.pass_time(HOUR)
        await rig.work()
        run = await rig.run(job)
        assert (run["status"], run["reason"]) == ("failed", "blocked")
        (attempt,) = run["attempts"]
        assert key_id(OTHER_KEY) in msgspec.json.decode(attempt)["error"]
