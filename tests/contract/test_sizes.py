"""The house stays small: no file of 300 lines, no function of 50, no class named for a bag."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "src" / "scheduler_svc", ROOT / "clients" / "python" / "src")
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
BAGS = ("Manager", "Client", "Service", "Worker", "Repository", "Util", "Utils", "Helper")
FILES = sorted(path for source in SOURCES for path in source.rglob("*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_and_its_functions_fit_their_bounds(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) < FILE_LINES_MAX
    long = [
        function.name
        for function in _functions(tree)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_says_what_it_promises_and_names_no_bag(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module opens with what it promises"
    classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if name.endswith(BAGS)] == []


def test_there_is_something_to_measure() -> None:
    assert len(FILES) > 20
