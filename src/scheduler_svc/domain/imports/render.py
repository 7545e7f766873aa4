"""Writing sets of values as fields of our dialect, as short as people would.

Promises that what is written names exactly the set that was given.
"""

from scheduler_svc.domain.imports.fields import Part

_STEPS_FROM = 3
"""So many values in equal steps are written as a range with a step."""


def render(part: Part, *, star: bool = True) -> str:
    """Write one field; with `star` false it does not begin with `*`, which would mean something."""
    low, high = part.field.low, part.field.high
    if part.field.name == "weekday":
        low, high = 0, 6
    if part.full and not part.specials:
        return "*" if star else f"{low}-{high}"
    texts = _ranges(sorted(part.values), low, high, star=star and part.text.startswith("*"))
    return ",".join([*texts, *part.specials])


def _ranges(values: list[int], low: int, high: int, *, star: bool) -> list[str]:
    """Write values as one range with a step, or else as ranges without."""
    step = values[1] - values[0] if len(values) > 1 else 1
    even = values == list(range(values[0], values[-1] + 1, step)) if values else False
    if even and len(values) >= _STEPS_FROM and step > 1:
        if star and values[0] == low and values[-1] + step > high:
            return [f"*/{step}"]
        return [f"{values[0]}-{values[-1]}/{step}"]
    return [str(a) if a == b else f"{a}-{b}" for a, b in _runs(values)]


def _runs(values: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs
