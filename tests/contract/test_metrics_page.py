"""docs/operations.md shows the metrics as the code has them."""

import re
from pathlib import Path

from scheduler_svc.telemetry.families import table

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_the_page_shows_every_metric() -> None:
    shown = re.search(r"<!-- metrics -->\n(.*?)\n<!-- /metrics -->", PAGE, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == table()
