"""What is done about so often is done together, and never more rarely than it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.store.chime import CHIME_SECONDS, EARLY_SECONDS, TURN_SECONDS, Turn, until_chime

NOW = st.floats(min_value=0, max_value=1e7)
PHASE = st.floats(min_value=0, max_value=1, exclude_max=True)
WHOLE = st.integers(min_value=1, max_value=600)
NEAR = 1e-6


@given(now=NOW, phase=PHASE, seconds=WHOLE, turn=st.sampled_from(Turn))
def test_it_is_at_a_chime_within_the_time_that_was_asked_for(
    now: float, phase: float, seconds: int, turn: Turn
) -> None:
    sleep = until_chime(now, seconds, turn, phase=phase)
    chimes = (now + sleep - phase - turn * TURN_SECONDS) / CHIME_SECONDS
    assert chimes == pytest.approx(round(chimes), abs=NEAR)
    assert seconds - CHIME_SECONDS < sleep + NEAR
    assert 0 < sleep + NEAR < seconds + EARLY_SECONDS + 2 * NEAR


@given(phase=PHASE, seconds=WHOLE, early=st.floats(min_value=0, max_value=EARLY_SECONDS / 2))
def test_whoever_was_woken_a_little_early_does_not_wake_again_at_the_same_chime(
    phase: float, seconds: int, early: float
) -> None:
    woken = 1000 + phase - early
    assert until_chime(woken, seconds, Turn.LOOK, phase=phase) == pytest.approx(
        seconds + early, abs=NEAR
    )


@given(now=NOW, phase=PHASE)
def test_those_that_ask_the_database_come_in_turn_within_a_chime(now: float, phase: float) -> None:
    at = sorted((now + until_chime(now, 1, turn, phase=phase) - phase) % 1 for turn in Turn)
    apart = [(one - at[0]) % 1 for one in at]
    steps = sorted({round(one / TURN_SECONDS, 3) for one in apart})
    assert len(steps) == len(Turn)


def test_less_than_a_chime_is_slept_as_it_is() -> None:
    assert until_chime(12.34, 0.25, Turn.LOOK, phase=0.5) == 0.25
