"""What Kubernetes and Dkron share: the library robfig/cron v3 beyond its fields.

Zones before an expression, `@every`, and days that its search loses where a clock skips midnight.
"""

import re
from datetime import datetime
from typing import Final

from scheduler_svc.domain.duration import text_of
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.nights import changes_ahead, midnight_gap
from scheduler_svc.domain.imports.shape import go_duration_ms, instant_text, shown

_ZONE: Final = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)
_EVERY: Final = "@every "
_SECOND_MS: Final = 1000
_HOUR: Final = 3600


def split_zone(text: str) -> tuple[str, str | None]:
    """Part `CRON_TZ=Europe/Berlin 0 9 * * *` into the expression and the zone."""
    match = _ZONE.fullmatch(text.strip())
    return (match[2].strip(), match[1]) if match else (text.strip(), None)


def take_every(draft: Draft, text: str, system: str, anchor: datetime | None = None) -> None:
    """Set an interval of whole seconds, at least one, and what it counts from."""
    found = go_duration_ms(text.removeprefix(_EVERY).strip())
    if found is None:
        raise Unfit("syntax", f"'{shown(text)}' has no duration as Go writes them")
    whole = max(found // _SECOND_MS, 1) * _SECOND_MS
    draft.schedule["every"] = text_of(whole)
    if anchor is None:
        draft.differs(
            "anchor",
            f"{system} counts from when its scheduler started, anew with each start; here it counts"
            " from when the job is created, for good",
        )
    else:
        draft.schedule["anchor"] = instant_text(anchor)
        draft.same("anchor", f"it goes on counting from {instant_text(anchor)}")
    if whole != found:
        draft.same("resolution", f"{system} takes whole seconds of at least one: {text_of(whole)}")


def tell_search(draft: Draft) -> None:
    """Tell of changes over which the library's search stumbles: it steps by days and by hours."""
    place, now = draft.schedule.get("timezone", "UTC"), draft.options.now
    days = str(draft.schedule["cron"]).split()[-3::2]
    at = midnight_gap(place, now)
    if at is not None and days != ["*", "*"]:
        draft.differs(
            "dst_search",
            f"the clock in {place} skips a midnight: robfig/cron may then run on a wrong day or"
            " leave one out, here days are as written",
            at,
        )
    odd = (one for one in changes_ahead(place, now) if (one.after - one.before) % _HOUR)
    if (change := next(odd, None)) is not None:
        draft.differs(
            "dst_search",
            f"the clock in {place} moves by a part of an hour: robfig/cron may then leave out or"
            " add times of that day, here they are as written",
            instant_at(change.at * 1000),
        )
