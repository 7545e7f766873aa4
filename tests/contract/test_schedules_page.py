"""docs/schedules.md tells the truth: its tables are the code's, its examples work."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from scheduler_svc.api.app import build_app
from scheduler_svc.domain import schedule_page
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"
TABLES: dict[str, Callable[[], str]] = {
    "expressions": schedule_page.expressions,
    "nicknames": schedule_page.nicknames,
    "refusals": schedule_page.refusals,
    "nights": schedule_page.nights,
}
REWRITE = "python tests/contract/test_schedules_page.py"


def between(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {mark} -->\n)(.*?)(<!-- /{mark} -->)", re.DOTALL)


@pytest.mark.parametrize("mark", TABLES)
def test_a_table_of_the_page_is_what_the_code_makes(mark: str) -> None:
    shown = between(mark).search(PAGE.read_text())
    assert shown is not None
    assert shown[2].strip() == TABLES[mark](), f"look at the change, then run: {REWRITE}"


def test_everything_that_the_page_shows_as_refused_is() -> None:
    assert schedule_page.refusals().count("\n") == len(schedule_page.REFUSED) + 1


async def test_each_schedule_on_the_page_can_be_previewed(pool: Pool) -> None:
    examples = re.findall(r"```json preview\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 4
    transport = httpx2.ASGITransport(build_app(lend(pool, Clock(), Records())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for example in examples:
            answer = await http.post("/schedules/preview", json=json.loads(example))
            assert answer.status_code == 200, answer.text
            assert answer.json()["occurrences"]


def rewrite() -> None:
    """Put the tables that the code makes into the page."""
    text = PAGE.read_text()
    for mark, made in TABLES.items():
        shown = between(mark).search(text)
        assert shown is not None
        text = text.replace(shown[0], f"{shown[1]}{made()}\n{shown[3]}")
    PAGE.write_text(text)


if __name__ == "__main__":
    rewrite()
