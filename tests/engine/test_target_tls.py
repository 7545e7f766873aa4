"""A job's own trust reaches the wire: it is delivered where only its own authority vouches."""

import ssl

import msgspec
import trustme

from pem import ca_of
from receiver import receiving
from rig import HOUR, rigged
from scheduler_svc.store.pool import Pool


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
