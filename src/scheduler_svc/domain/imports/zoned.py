"""Zones of foreign definitions: theirs, the host's, or none, and names that only some know."""

from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.zones import zone_fault, zone_names

_UTC = ("UTC", "Etc/UTC", "Z", "GMT", "utc")


def set_zone(draft: Draft, given: str | None, *, system: str, default: str) -> None:
    """Set the zone: the one given, else the host's, else UTC; `default` says what theirs is."""
    place = given or draft.options.timezone
    if place is None:
        place = "UTC"
        draft.decide(
            "timezone",
            f"{system} reads times in {default}; UTC is taken here: say --timezone where it is"
            " another",
        )
    elif not given:
        draft.same("timezone", f"times are those of --timezone, as {system} has {default}")
    known = known_zone(place)
    if known != "UTC":
        draft.schedule["timezone"] = known


def known_zone(place: str) -> str:
    """Return the name of a zone as we have it; raise Unfit where there is none of that name."""
    if place in _UTC:
        return "UTC"
    if place not in zone_names():
        raise Unfit("timezone", zone_fault(place) or place)
    return place
