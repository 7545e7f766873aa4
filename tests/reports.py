"""A target that reports: the API of a replica on the engine's clock, and the tokens it was sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
from msgspec.structs import replace

from rig import CALLBACKS, Rig
from scheduler_svc.api.app import build_app
from serving import Clock, Records, lend


class Reporting:
    """Reports on the runs whose requests a receiver got."""

    def __init__(self, rig: Rig, http: httpx2.AsyncClient) -> None:
        self._rig = rig
        self.http = http

    async def __call__(
        self,
        body: dict[str, Any] | None,
        *,
        verb: str = "complete",
        request: int = -1,
        token: str | None = None,
    ) -> httpx2.Response:
        """Say this of the run that a request was for, as its target would."""
        headers = self._rig.receiver.requests[request].headers
        path = urlsplit(headers["scheduler-completion-url"]).path
        given = headers["scheduler-completion-token"] if token is None else token
        return await self.http.post(
            path.replace("/complete", f"/{verb}"),
            headers={"Authorization": f"Bearer {given}"},
            json=body,
        )


@asynccontextmanager
async def reporting(rig: Rig, **changes: Any) -> AsyncIterator[Reporting]:
    """Serve the API beside a rig, under its clock and with its key."""
    clock = Clock()
    deps = lend(rig.parts.pool, clock, Records())
    deps = replace(deps, now_ms=rig.clock.now_ms, callbacks=CALLBACKS, **changes)
    transport = httpx2.ASGITransport(build_app(deps))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as opened:
        yield Reporting(rig, opened)
