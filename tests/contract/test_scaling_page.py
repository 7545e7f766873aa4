"""The page on scaling shows what the model says of the points that were measured."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling.md"


def said() -> str:
    done = subprocess.run(
        [sys.executable, "bench/scaling.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_page_shows_what_the_model_says_of_the_kept_points() -> None:
    shown = re.search(r"<!-- checked -->\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == said(), "paste what bench/scaling.py prints"
