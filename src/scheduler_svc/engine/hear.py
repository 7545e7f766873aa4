"""What a notice makes this replica do. Without notices the poll does the same, later."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from scheduler_svc.engine import dispatch, upkeep
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.pace import Pace
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.store.pool import is_database_away


def hearer(
    parts: Parts, pace: Pace, outbox: Outbox, tasks: asyncio.TaskGroup
) -> Callable[[str, str], None]:
    """Return the handler of notices."""

    def hear(word: str, argument: str) -> None:
        match word:
            case "secrets":
                parts.secrets.forget(argument)
            case "wake":
                if int(argument) == 0:  # LISTEN is new: what was said before is not known
                    parts.secrets.forget()
                    _read_again(parts, "keys")
                    _read_again(parts, "namespace")
                if pace.notice(int(argument), lookahead_ms=parts.limits.lookahead_ms):
                    parts.to_claim.ring()
            case "cancel":
                dispatch.cancel(parts, outbox, UUID(argument))
            case "forget" | "release":
                unsent = parts.hand.unsent(UUID(argument))
                if unsent:
                    parts.hand.withdraw(unsent)
                    tasks.create_task(_give_up(parts, outbox, unsent, forget=word == "forget"))
            case _:
                _read_again(parts, word)

    return hear


def _read_again(parts: Parts, word: str) -> None:
    """Note that something this replica knows by heart has changed."""
    match word:
        case "keys":
            parts.pressure.stale = True
            parts.to_claim.ring()
        case "namespace":
            parts.namespaces.changed.ring()
        case _:
            pass  # a word of a newer version


async def _give_up(parts: Parts, outbox: Outbox, runs: list[HeldRun], *, forget: bool) -> None:
    """Give up what an edit took back; what the database can not be told now waits."""
    try:
        await upkeep.give_up(parts, runs, forget=forget)
    except Exception as error:
        if not is_database_away(error):
            raise
        for held in runs:
            outbox.unsendable(held, forget=forget)
