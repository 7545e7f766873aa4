"""What a plain word of YAML means: what JSON would read as a number, true, false, null; else text.

That is the core schema of YAML 1.2 without its octal and hexadecimal numbers and those with zeros
or a plus in front. So `on`, `yes`, `1:30`, `007` and `2026-01-05` are texts, which YAML 1.1 makes
other things of.
"""

import re
from typing import Final

WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
REAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
DIGITS_MAX: Final = 4000


def value_of(word: str) -> str | int | float | bool | None:
    """Return what a plain word means; raise ValueError for a number that nothing holds."""
    if word in WORDS:
        return WORDS[word]
    if word[0] not in "-0123456789":
        return word
    if INTEGER.match(word):
        if len(word) > DIGITS_MAX:
            raise ValueError("the number is out of range")
        return int(word)
    if REAL.match(word):
        number = float(word)
        if number in (float("inf"), float("-inf")):
            raise ValueError("the number is out of range")
        return number
    return word
