"""Zones: names, and that no change of offset is missed, against the zone files themselves."""

import struct
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise

import pytest

from domain.brute import rules
from scheduler_svc.domain.zones import _PROBE, zone, zone_fault, zone_info, zone_names

FROM, TO = 0, 2_145_916_800  # 1970 to 2038


def changes_in_file(name: str) -> list[tuple[int, int]]:
    """Read instants and new offsets from a TZif file (RFC 9636), those that change nothing cut."""
    data = files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    counts = struct.unpack(">6l", data[20:44])
    first = counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0]
    data = data[44 + first :]
    _, _, _, times, types, _ = struct.unpack(">6l", data[20:44])
    body = data[44:]
    instants = struct.unpack(f">{times}q", body[: times * 8])
    kinds = body[times * 8 : times * 9]
    table = body[times * 9 :]
    offsets = [struct.unpack(">l", table[6 * each : 6 * each + 4])[0] for each in range(types)]
    now, found = offsets[0], []
    for instant, kind in zip(instants, kinds, strict=True):
        if offsets[kind] != now and FROM < instant <= TO:
            found.append((instant, offsets[kind]))
        now = offsets[kind]
    return found


@pytest.mark.parametrize("letter", sorted({name[0] for name in zone_names()}))
def test_every_change_of_every_zone_is_found(letter: str) -> None:
    for name in sorted(each for each in zone_names() if each.startswith(letter)):
        written = changes_in_file(name)
        until = written[-1][0] if written else FROM
        found = [(change.at, change.after) for change in zone(name).changes(FROM, until)]
        assert found == written, name


def test_no_zone_changes_twice_within_a_probe() -> None:
    written = [changes_in_file(name) for name in zone_names()]
    stays = [later[0] - earlier[0] for changes in written for earlier, later in pairwise(changes)]
    assert min(stays) > _PROBE


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Pacific/Apia", "Africa/Casablanca", "Etc/GMT-14"]
)
def test_offsets_are_those_of_zoneinfo_up_to_2199(name: str) -> None:
    for days in range(0, 230 * 365, 97):
        instant = datetime(1970, 1, 1, 3, tzinfo=UTC) + timedelta(days=days)
        expected = instant.astimezone(rules(name)).utcoffset()
        assert timedelta(seconds=zone(name).offset_at(int(instant.timestamp()))) == expected


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("", "empty"),
        ("europe/berlin", "'Europe/Berlin'"),
        ("Berlin", "'Europe/Berlin'"),
        ("new york", "'America/New_York'"),
        ("Europe/Berlim", "'Europe/Berlin'"),
        ("Mars/Phobos", "IANA"),
        ("../../etc/passwd", "IANA"),
        ("Europe/Berlin\x00", "IANA|Berlin"),
        ("Factory", "IANA"),
        ("x" * 5000, "IANA"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_one_likely_meant(name: str, hint: str) -> None:
    fault = zone_fault(name)
    assert fault is not None
    assert any(each in fault for each in hint.split("|"))
    with pytest.raises(KeyError):
        zone_info(name)


def test_every_listed_zone_loads() -> None:
    assert zone_fault("UTC") is None
    assert len(zone_names()) > 500
    assert all(zone_info(name).key == name for name in zone_names())
