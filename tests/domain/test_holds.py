"""When everything is held: what the database remembers, against what a replica does."""

import pytest

from scheduler_svc.domain.holds import Evidence, Identity, Memory, reason_to_hold

NOW = 1_767_600_000_000
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
LIMIT = 12 * HOUR
HERE = Identity("7/16384/16400", 1)


def a_start(gap_ms: int, then: Identity = HERE, now: Identity = HERE) -> Evidence:
    """What a replica sees that starts so long after the last one was alive."""
    return Evidence(now_ms=NOW, alive_ms=NOW - gap_ms, mine_ms=None, then=then, now=now)


def test_the_first_replica_of_all_holds_nothing() -> None:
    first = Evidence(now_ms=NOW, alive_ms=None, mine_ms=None)
    assert reason_to_hold(first, None, limit_ms=LIMIT) is None


@pytest.mark.parametrize(
    ("gap_ms", "reason"), [(5 * SECOND, None), (LIMIT, None), (LIMIT + 1, "outage")]
)
def test_an_outage_is_for_the_misfire_policies_up_to_the_limit(
    gap_ms: int, reason: str | None
) -> None:
    assert reason_to_hold(a_start(gap_ms), None, limit_ms=LIMIT) == reason


COPIES = [
    Identity("8/16384/16400", 1),  # another cluster
    Identity("7/16999/16400", 1),  # a database beside the old one
    Identity("7/16384/17000", 1),  # a dump loaded over the old one
]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_a_restore_unless_it_is_as_good_as_new(copy: Identity) -> None:
    assert reason_to_hold(a_start(MINUTE, HERE, copy), None, limit_ms=LIMIT) == "restored"
    assert reason_to_hold(a_start(MINUTE - 1, HERE, copy), None, limit_ms=LIMIT) is None


def test_a_new_timeline_is_a_change_over_within_the_hour_and_a_restore_after_it() -> None:
    promoted = Identity(HERE.place, 2)
    assert reason_to_hold(a_start(HOUR - 1, HERE, promoted), None, limit_ms=LIMIT) is None
    assert reason_to_hold(a_start(HOUR, HERE, promoted), None, limit_ms=LIMIT) == "restored"


def test_where_the_server_does_not_say_who_it_is_only_the_gap_counts() -> None:
    mute = Identity(None, None)
    assert reason_to_hold(a_start(2 * HOUR, HERE, mute), None, limit_ms=LIMIT) is None
    assert reason_to_hold(a_start(2 * HOUR, mute, HERE), None, limit_ms=LIMIT) is None


def lived(*, mine_ms: int | None, alive_ms: int, silent_ms: int = 3 * SECOND) -> str | None:
    """What a replica finds that has been there for three hours."""
    memory = Memory(started_ms=NOW - 3 * HOUR, wrote_ms=NOW - silent_ms, silent_ms=silent_ms)
    seen = Evidence(now_ms=NOW, alive_ms=alive_ms, mine_ms=mine_ms)
    return reason_to_hold(seen, memory, limit_ms=LIMIT)


def test_a_living_replica_knows_its_own_heartbeat_again() -> None:
    assert lived(mine_ms=NOW - 3 * SECOND, alive_ms=NOW - 5 * SECOND) is None
    assert lived(mine_ms=NOW - 2 * HOUR, alive_ms=NOW - 2 * HOUR) == "restored"
    # Another replica was quicker, and has said that it lives.
    assert lived(mine_ms=NOW - 2 * HOUR, alive_ms=NOW) == "restored"
    assert lived(mine_ms=None, alive_ms=NOW) == "restored"


def test_a_standby_that_was_a_moment_behind_is_no_restore() -> None:
    assert lived(mine_ms=NOW - 50 * SECOND, alive_ms=NOW - 50 * SECOND) is None


def test_a_replica_that_was_cut_off_for_an_hour_is_forgotten_by_the_others_and_knows_it() -> None:
    assert lived(mine_ms=None, alive_ms=NOW, silent_ms=HOUR) is None


def test_a_limit_of_nothing_holds_nothing() -> None:
    assert reason_to_hold(a_start(99 * HOUR), None, limit_ms=0) is None
