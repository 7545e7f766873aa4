"""Every example of the documentation is run, or judged, or says why it can not be.

A fence says which, behind its language: `run` (typed here, page by page, in order, against a
running service and a receiver), `create` (JSON that can be posted), `part` (a part of that),
`target`, `settings`, `make`; what is in OTHERS is run by a test of its page; or shown="why not".
"""

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from commands import COMMAND, free_port, installed, program
from fleet import ENVIRONMENT
from scheduler_svc.settings.names import DEFAULTS, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "tests/chaos/*.md", "clients/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md" and "node_modules" not in path.parts
)
OTHERS = {
    ("README.md", "sh"): "tests/contract/test_readme.py",
    ("docs/cli.md", "sh"): "tests/contract/test_cli_page.py",
    ("docs/backup.md", "sh"): "tests/cluster/test_restore.py",
    ("docs/transactions.md", "sql"): "tests/cluster/test_transactions.py",
    ("docs/transactions.md", "python"): "tests/cluster/test_transactions.py",
    ("docs/schedules.md", "json"): "tests/contract/test_schedules_page.py",
    ("docs/api.md", "json"): "tests/contract/test_api_page.py",
    ("docs/files.md", "sh"): "tests/contract/test_files_page.py",
    ("docs/files.md", "yaml"): "tests/contract/test_files_page.py",
    ("docs/importing.md", "sh"): "tests/imports/test_command.py",
    ("docs/importing.md", "python"): "tests/imports/test_apscheduler.py",
    ("docs/clients.md", "python"): "tests/clients/test_pages.py",
    ("docs/receivers.md", "python"): "tests/clients/test_pages.py",
    ("docs/receivers.md", "js"): "tests/clients/test_pages.py",
    ("docs/receivers.md", "sql"): "tests/clients/test_pages.py",
    ("clients/python/README.md", "sh"): "tests/clients/test_pages.py",
    ("clients/python/README.md", "python"): "tests/clients/test_pages.py",
}
"""Which test runs the blocks of a page that are of a language."""
HERE = {"sh run", "sh make", "json part", "json target", "json create", "env settings"}
SHELL = """
curl() { command curl --fail-with-body "$@"; }
scheduler-svc() { command scheduler-svc "$@" || [ "$1" = doctor ]; }
"""
"""A refusal is a failure; doctor finds that the server of the tests keeps nothing, and is right."""
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r'\w+ shown="[^"]{5,}"')
PICTURE = "text"
TERMINALS = {"sh terminal=service", "sh terminal=receiver"}
"""What runs beside what is typed: started here, and run by the test of the README."""
BASE: dict[str, Any] = {
    "schedule": {"cron": "0 9 * * *"},
    "target": {"url": "https://example.com/"},
}

pytestmark = pytest.mark.timeout(300)


class Block(NamedTuple):
    """An example: its page and line, what its fence says, its text."""

    page: str
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ```{self.info}"

    @property
    def has_a_test(self) -> bool:
        language = self.info.partition(" ")[0]
        return self.info in HERE or (self.page, language) in OTHERS or self.info in TERMINALS

    @property
    def is_marked(self) -> bool:
        return self.info == PICTURE or self.has_a_test or SHOWN.fullmatch(self.info) is not None


def blocks_of(text: str, page: str) -> list[Block]:
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found[2].strip(),
            re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )
        for found in FENCE.finditer(text)
    ]


BLOCKS = [
    block for path in PAGES for block in blocks_of(path.read_text(), str(path.relative_to(ROOT)))
]


def of(*infos: str) -> list[Block]:
    """Return the blocks of these kinds that no test of their page runs."""
    return [
        block
        for block in BLOCKS
        if block.info in infos and (block.page, block.info.partition(" ")[0]) not in OTHERS
    ]


def test_every_example_says_how_it_is_kept_true() -> None:
    assert [str(block) for block in BLOCKS if not block.is_marked] == []
    assert len(BLOCKS) > 50
    for (page, _), test in OTHERS.items():
        assert (ROOT / test).exists() or not (ROOT / page).exists(), page


def test_an_example_that_says_nothing_is_found() -> None:
    found = blocks_of('a\n```sh\nls\n```\n   ```json shown="an answer"\n   {}\n   ```\n', "new.md")
    assert [(block.line, block.info, block.is_marked) for block in found] == [
        (2, "sh", False),
        (5, 'json shown="an answer"', True),
    ]
    assert found[1].text == "{}\n"


def test_all_json_is_json() -> None:
    for block in BLOCKS:
        if block.info.startswith("json"):
            try:
                json.loads(block.text)
            except ValueError as error:
                pytest.fail(f"{block}: {error}")


def test_all_settings_are_settings() -> None:
    for block in BLOCKS:
        if block.info.startswith("env"):
            named = re.findall(r"^(SCHEDULER_\w+|DATABASE_URL)=", block.text, re.MULTILINE)
            assert named, str(block)
            assert set(named) <= set(map(variable, DEFAULTS)), str(block)


def test_all_make_targets_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in of("sh make"):
        named = re.findall(r"^make (\S+)", block.text, re.MULTILINE)
        assert named, str(block)
        assert set(named) <= targets, str(block)


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    listed = set(re.findall(r"\]\(([a-z]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    there = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert there - listed == set()


def test_every_page_that_is_pointed_to_is_there() -> None:
    for page in PAGES:
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
        files = [link for link in links if "://" not in link and not link.startswith("/")]
        missing = [link for link in files if not (page.parent / link).exists()]
        assert missing == [], f"{page.name}: {missing}"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name != "adr"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_heading_that_a_page_points_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]*)#([^)\s]+)\)", page.read_text())
    for file, anchor in links:
        if "://" in file:
            continue
        there = (page.parent / file) if file else page
        heads = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
        assert anchor in {slug(head) for head in heads}, f"{file}#{anchor}"


def slug(head: str) -> str:
    """Name a heading as forges do."""
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


class Desk(NamedTuple):
    """A service with its database and a receiver, and how a shell reaches them."""

    port: int
    target: int
    env: dict[str, str]

    def typed(self, block: Block) -> list[str]:
        text = re.sub(r"(127\.0\.0\.1|localhost):8080", rf"\1:{self.port}", block.text)
        text = text.replace(":9000", f":{self.target}")
        text = text.replace("$PWD/.venv/bin", str(installed("")))
        return ["bash", "-euo", "pipefail", "-c", f"{SHELL}\n{text}"]


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    port, target = free_port(), free_port()
    env = ENVIRONMENT | {
        "DATABASE_URL": dsn,
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_URL": f"http://127.0.0.1:{port}",
        "PATH": f"{installed('')}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nonexistent",
    }
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(program(*COMMAND, "serve", env=env))
        receiver = await stack.enter_async_context(
            program(*COMMAND, "receive", "--port", str(target), env=env)
        )
        await service.line("API http")
        await receiver.line("listening on")
        yield Desk(port, target, env)


def to_type(page: str) -> Iterator[Block]:
    """Yield what a page tells to type; a line that only looks again is left out."""
    seen: set[str] = set()
    for block in of("sh run"):
        if block.page == page:
            lines = block.text.splitlines()
            fresh = [line for line in lines if line not in seen or "\\\n" in block.text]
            seen.update(lines)
            yield block._replace(text="\n".join(fresh))


@pytest.mark.parametrize("page", list(dict.fromkeys(block.page for block in of("sh run"))))
async def test_what_a_page_tells_you_to_type_can_be_typed(desk: Desk, page: str) -> None:
    for block in to_type(page):
        async with program(*desk.typed(block), env=desk.env) as running:
            code = await running.end()
        assert code == 0, f"{block} ended with {code}:\n{running.output}"


async def test_what_the_pages_show_of_a_definition_can_be_posted(desk: Desk) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{desk.port}") as http:
        for block in of("json part", "json target", "json create"):
            given = json.loads(block.text)
            match block.info:
                case "json part":
                    given = BASE | given
                case "json target":
                    given = BASE | {"target": given}
                case _:
                    pass
            answer = await http.post("/jobs", json=given)
            assert answer.is_success, f"{block}: {answer.text}"


def main() -> None:
    """List the examples with what keeps them true."""
    for block in BLOCKS:
        sys.stdout.write(f"{block}\n")


if __name__ == "__main__":
    main()
