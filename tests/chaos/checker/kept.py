"""Judges acknowledged writes by their content: each job is at the end as its last writes made it.

A write that was not answered, or refused by a server in trouble, may hold or not: from it on until
the next that was answered, nothing is demanded.
"""

from collections.abc import Iterator

from chaos.checker.evidence import Call, Finding, Looked

PAUSES = frozenset({"pause", "resume"})


def judge_kept(looked: Looked) -> Iterator[Finding]:
    """Hold jobs as the API tells them at the end against what was acknowledged."""
    calls: dict[str, list[Call]] = {}
    for call in sorted(looked.all.calls, key=lambda one: one.sent_ms):
        if call.status is None or not 400 <= call.status < 500:
            calls.setdefault(call.job, []).append(call)
    for job, mine in calls.items():
        if mine[-1].verb == "delete" or (kept := looked.all.kept.get(job)) is None:
            continue  # a create that is gone altogether is found by the ledger
        for call in mine:
            if call.verb == "create" and call.asked is not None:
                said = {name: kept.schedule.get(name) for name in call.asked}
                yield from _differs(looked, call, "schedule", call.asked, said)
        paths = [one for one in mine if one.path is not None]
        if paths and paths[-1].acknowledged:
            yield from _differs(looked, paths[-1], "path", paths[-1].path, kept.path)
        states = [one for one in mine if one.verb in PAUSES]
        if states and states[-1].acknowledged:
            paused = states[-1].verb == "pause"
            yield from _differs(looked, states[-1], "paused", paused, kept.paused)


def _differs(
    looked: Looked, call: Call, name: str, asked: object, kept: object
) -> Iterator[Finding]:
    if asked != kept:
        why = f"an acknowledged {call.verb} made {name} {asked}, and it is {kept}"
        cause = looked.all.tail(call.sent_ms, call.acked_ms)
        yield Finding("forgotten", why, call.job, None, call.acked_ms, cause)
