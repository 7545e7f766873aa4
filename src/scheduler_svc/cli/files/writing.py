"""Values to YAML that people read and compare: one order, texts of many lines as they are.

Promises that reading it gives the same values, by `reading` and by any reader of YAML 1.1 or 1.2:
whatever one of them would take for something else than a text is put in quotes.
"""

import re
from typing import Any, Final

import yaml

WIDTH: Final = 100
_Base: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_DOUBTFUL: Final = re.compile(
    r"[-+]?\.?[0-9][0-9a-fox_.,:+-]*|[-+]?\.(?:inf|nan)|=|<<", re.IGNORECASE
)
"""What some reader takes for a number, or for something of its own."""
_UNSAFE: Final = re.compile(
    r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What a block of lines can not hold, or an editor may change."""


class _Dumper(_Base):  # type: ignore[misc]  # in C, or not
    """Writes every value where it stands, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None
    if _UNSAFE.search(text):
        style = '"'
    elif "\n" in text and text == _trimmed(text):
        style = "|"
    elif _DOUBTFUL.fullmatch(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _trimmed(text: str) -> str:
    """Return a text without what a block of lines loses or writes oddly."""
    return "\n".join(line.rstrip(" ") for line in text.split("\n")).lstrip(" \n")


_Dumper.add_representer(str, _text)


def written(value: Any) -> str:
    """Return a value as YAML."""
    made: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=WIDTH,
    )
    return made
