"""A row of runs of one key is admitted as each of them would be by itself."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.pressure import Ceiling, Key, KeyState
from scheduler_svc.engine.hand import Hand
from scheduler_svc.engine.pressure import Pressure, PressureRules, Turn

KEYS = [Key("default", "one"), Key("default", "two"), Key("other", "one"), Key("other", "limited")]


def _pressure(share: float, namespace_share: float, quick: Sequence[Key]) -> Pressure:
    made = Pressure(PressureRules(share=share, namespace_share=namespace_share))
    made.learn([KeyState(key=KEYS[3], configured=True, ceiling=Ceiling(max_parallel=1))])
    for key in quick:
        made.note_quick(key, now_ms=0)
    return made


@given(
    slots=st.integers(0, 30),
    share=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    namespace_share=st.sampled_from([0.3, 0.9, 1.0]),
    quick=st.lists(st.sampled_from(KEYS), unique=True),
    asked=st.lists(st.sampled_from(KEYS), max_size=40),
)
def test_a_row_of_one_key_is_admitted_as_one_by_one(
    slots: int, share: float, namespace_share: float, quick: list[Key], asked: list[Key]
) -> None:
    pressure = _pressure(share, namespace_share, quick)
    in_rows, one_by_one = Turn(pressure, Hand(slots)), Turn(pressure, Hand(slots))
    for key in asked:
        wanted = one_by_one.reason(key) is None and one_by_one.take(key)
        assert in_rows.admit(key) == wanted
