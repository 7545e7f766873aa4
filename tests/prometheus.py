"""A real Prometheus, started for a test: it scrapes what it is told to and answers questions."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from commands import free_port, program

RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "rules.yml"
PROMETHEUS = shutil.which("prometheus")


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    http: httpx2.AsyncClient
    targets: Path

    def watch(self, ports: Sequence[int], *, secure: Sequence[int] = ()) -> None:
        """Scrape these ports of this machine from now on; it looks at the file by itself."""
        found = [
            {
                "targets": [f"127.0.0.1:{one}"],
                "labels": {"__scheme__": "https" if one in secure else "http"},
            }
            for one in ports
        ]
        fresh = self.targets.with_suffix(".new")
        fresh.write_text(json.dumps(found))
        fresh.replace(self.targets)

    async def ask(self, expression: str) -> float | None:
        """Return the one number that an expression gives now; None where it gives nothing."""
        answer = await self.http.get("/api/v1/query", params={"query": expression})
        found = answer.json()["data"]["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    async def rules(self) -> list[dict[str, Any]]:
        groups = (await self.http.get("/api/v1/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def firing(self) -> set[str]:
        return {rule["name"] for rule in await self.rules() if rule["state"] == "firing"}

    async def until(self, expression: str, wanted: float, *, seconds: float) -> None:
        """Wait until an expression gives this number; it is scraped, so there is no event."""
        found: float | None = None
        try:
            async with asyncio.timeout(seconds):
                # In another process: there is no event to wait for.
                while (found := await self.ask(expression)) != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{expression} is {found}, not {wanted}") from None


@asynccontextmanager
async def prometheus(
    folder: Path, ports: Sequence[int], *, every: str = "1s", rules: Path = RULES
) -> AsyncIterator[Prometheus]:
    """Run one that scrapes these ports of this machine until the block ends."""
    assert PROMETHEUS is not None
    port = free_port()
    configuration = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "scheduler",
                "file_sd_configs": [{"files": [f"{folder}/targets.json"]}],
                "tls_config": {"insecure_skip_verify": True},  # certificates of a test's own
            }
        ],
    }
    seen = Prometheus(
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}"), folder / "targets.json"
    )
    seen.watch(ports)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = (
        PROMETHEUS,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    async with program(*command) as running, seen.http:
        await running.line("Server is ready to receive web requests")
        yield seen
