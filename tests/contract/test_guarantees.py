"""The page of guarantees names its proofs: each one is there, and no guarantee is without."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
SECTIONS = dict(re.findall(r"^## (G\d+)\. (.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PROOFS = sorted(set(re.findall(r"^- `(tests/\S+?)::(\w+)`$", PAGE, re.MULTILINE)))


def test_every_guarantee_is_there_in_order() -> None:
    assert list(SECTIONS) == [f"G{number}" for number in range(1, 11)]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_guarantee_says_what_is_promised_what_is_not_and_names_a_proof(name: str) -> None:
    for part in ("*Promised.* ", "*Not promised.* ", "- `tests/"):
        assert part in SECTIONS[name]


@pytest.mark.parametrize(("file", "name"), PROOFS)
def test_a_named_proof_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
