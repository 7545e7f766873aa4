"""One attempt's exchange: its request made with the secrets it needs, sent, and its answer cleaned.

A job without secrets, templates or tokens goes the short way. What can not be made is `blocked`,
with a reason that shows no secret; what the database keeps from us just now is not sent at all.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from scheduler_svc.delivery.dress import Dressed, dress, needs
from scheduler_svc.delivery.exchange import Exchange, Unsendable, Withheld
from scheduler_svc.delivery.identity import Subject
from scheduler_svc.delivery.prepare import Prepared
from scheduler_svc.delivery.redaction import needles, redacted
from scheduler_svc.delivery.request import Sending, request
from scheduler_svc.delivery.signing import Signer
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.domain.secrecy import change_headers, place_of_target
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store.pool import is_database_away
from scheduler_svc.store.vault import Unopenable, open_text


class Unsent(Exception):
    """Nothing was sent: what the attempt needs was never read and the database does not answer, or
    the lease ended before the request could be written.
    """


async def exchange(parts: Parts, held: HeldRun, sending: Sending) -> Exchange:
    """Make the request of an attempt and send it; raise Unsent."""
    prepared, overrides = held.job.prepared, held.claim.overrides
    masked = () if sending.report is None else needles([sending.report.token])
    try:
        signers = await _signers(parts, prepared)
        if overrides is not None or not prepared.plain:
            dressed = await _dressed(parts, held, sending)
            prepared, overrides = dressed.prepared, dressed.overrides
            masked += dressed.masked
        asked = request(
            prepared,
            sending,
            overrides,
            capture_max=parts.limits.capture_max,
            signers=signers,
            egress=parts.namespaces.egress(prepared.partition),
            may_write=partial(parts.lease.holds, held.term),
        )
    except Unsendable as fault:
        return Exchange("blocked", error=fault.reason)
    except Exception as error:
        if not is_database_away(error):
            raise
        raise Unsent from error
    try:
        return redacted(await parts.sender.send(asked), masked)
    except Withheld as fault:
        raise Unsent from fault


async def _signers(parts: Parts, prepared: Prepared) -> Sequence[Signer]:
    if not prepared.signed:
        return ()
    signers = parts.secrets.signers_at_hand(prepared.partition)
    return await parts.secrets.signers(prepared.partition) if signers is None else signers


async def _dressed(parts: Parts, held: HeldRun, sending: Sending) -> Dressed:
    prepared = held.job.prepared
    if prepared.blocked is not None:
        raise Unsendable(prepared.blocked)
    overrides = _opened(parts, held)
    needed = needs(prepared, overrides)
    return dress(
        prepared,
        overrides,
        needed,
        sending=sending,
        secrets=await parts.secrets.named(prepared.partition, needed.secrets),
        token=await _token(parts, prepared, sending),
    )


async def _token(parts: Parts, prepared: Prepared, sending: Sending) -> str | None:
    if prepared.audience is None:
        return None
    issuer = await parts.secrets.issuer()
    subject = Subject(prepared.audience, prepared.partition, str(sending.job_id), sending.job_name)
    return issuer.token(subject, sending.now_ms / 1000)


def _opened(parts: Parts, held: HeldRun) -> Overrides | None:
    """Open what a trigger gave for its run alone."""
    overrides = held.claim.overrides
    if overrides is None or not overrides.headers:
        return overrides
    place = place_of_target(held.job.plan.namespace, held.claim.job_id)
    try:
        headers = change_headers(
            overrides.headers,
            lambda within, value: open_text(parts.secrets.ring, value, place(within)),
        )
    except Unopenable as fault:
        raise Unsendable(str(fault)) from None
    return msgspec.structs.replace(overrides, headers=headers)
