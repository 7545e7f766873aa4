"""What one attempt's request costs to make: plain, signed, with templates, with secrets.

CPU of this process alone, in microseconds a request; nothing is sent. `plain` is a job that uses
nothing of it, by the way that an attempt goes. Figures are medians; read the ratios.
"""

import os
import statistics
from collections.abc import Callable
from time import process_time
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scheduler_svc.delivery.dress import dress, needs
from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.delivery.prepare import Prepared, prepare
from scheduler_svc.delivery.redaction import redacted
from scheduler_svc.delivery.request import Sending, request
from scheduler_svc.delivery.signing import Signer
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.spans import attempt_traceparent

CALLS, ROUNDS = 20_000, 9
PAYLOAD = "x" * 186
JOB = UUID(int=7)
ANSWER = Exchange(
    "ok", status_code=200, headers=[("Content-Type", "text/plain")] * 8, body=b"x" * 8192
)
SENDING = Sending(
    run_id=UUID(int=5),
    job_id=JOB,
    job_name="nightly-report",
    scheduled_ms=1_795_459_200_000,
    attempt=1,
    trigger="schedule",
    now_ms=1_795_459_200_003,
    trace=attempt_traceparent(UUID(int=5), 1, 0),
)


def prepared(**target: object) -> Prepared:
    given = {"url": "https://example.com/report?a=b", "body": {"report": PAYLOAD}, **target}
    text = msgspec.json.encode({"schedule": {"every": "1m"}, "target": given})
    definition = msgspec.json.decode(text, type=Definition)
    return prepare(definition, namespace="default", version="0", job_id=JOB)


def measure(name: str, call: Callable[[], object]) -> None:
    figures = []
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(CALLS):
            call()
        figures.append((process_time() - began) / CALLS * 1e6)
    print(f"{name:44} {statistics.median(figures):7.2f} us ({min(figures):.2f}-{max(figures):.2f})")


def main() -> None:
    one, two = (Signer(None, None, os.urandom(32)) for _ in range(2))
    pair = Signer(None, None, Ed25519PrivateKey.generate())
    plain = prepared()
    filled = prepared(
        url="https://example.com/report?run={{run.id}}",
        headers={"X-Day": "{{run.scheduled_for | date '%Y-%m-%d' 'Europe/Berlin'}}"},
        body={"report": PAYLOAD, "attempt": "{{run.attempt}}"},
    )
    secret = prepared(headers={"Authorization": "Bearer {{secret:token}}", "X-Api-Key": "k" * 32})
    known = {"token": "t" * 40}

    def made(job: Prepared, *signers: Signer) -> object:
        return request(job, SENDING, None, capture_max=8192, signers=signers)

    def dressed(job: Prepared, secrets: dict[str, str]) -> object:
        needed = needs(job, None)
        worn = dress(job, None, needed, sending=SENDING, secrets=secrets, token=None)
        return request(worn.prepared, SENDING, worn.overrides, capture_max=8192)

    masked = dress(
        secret, None, needs(secret, None), sending=SENDING, secrets=known, token=None
    ).masked
    measure("plain", lambda: made(plain))
    measure("signed by one secret", lambda: made(plain, one))
    measure("signed by two, as while one rotates", lambda: made(plain, one, two))
    measure("signed by a key pair (Ed25519)", lambda: made(plain, pair))
    measure("with templates in query, header and body", lambda: dressed(filled, {}))
    measure("with a named secret and a secret header", lambda: dressed(secret, known))
    measure("and an answer of 8 KiB searched for them", lambda: redacted(ANSWER, masked))


if __name__ == "__main__":
    main()
