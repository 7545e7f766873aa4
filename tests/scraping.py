"""Metrics as a scraper sees them: read from a socket, parsed by the format's own library."""

from dataclasses import dataclass

import httpx2
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Page:
    """The samples of one scrape."""

    samples: list[tuple[str, dict[str, str], float]]

    @property
    def names(self) -> set[str]:
        return {name for name, _, _ in self.samples}

    def of(self, name: str, **labels: str) -> list[float]:
        """Return the values of the series that have these labels."""
        return [
            value
            for found, has, value in self.samples
            if found == name and labels.items() <= has.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        return sum(self.of(name, **labels))

    def workers(self, name: str) -> set[str]:
        return {has["worker"] for found, has, _ in self.samples if found == name}


async def scrape(base: str) -> Page:
    """Ask once, on a connection of its own, so that any worker may answer."""
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{base}/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Page(
        [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        ]
    )
