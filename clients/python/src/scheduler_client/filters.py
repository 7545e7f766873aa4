"""What a list may be narrowed by: the parameters of `GET /jobs` and `GET /runs`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypedDict

PAGE, PAGE_MAX = 100, 500
Sort = Literal["created_at", "-created_at", "next_fire_at", "-next_fire_at", "name", "-name"]


class JobFilters(TypedDict, total=False):
    """All that is given must hold; of `labels` too."""

    state: str
    labels: Mapping[str, str]
    name_prefix: str
    q: str
    sort: Sort


class RunFilters(TypedDict, total=False):
    """`since` is inclusive, `until` is not; both are of `scheduled_for`."""

    job_id: str
    status: str
    trigger: str
    replay_of: str
    since: datetime
    until: datetime


def job_query(filters: JobFilters) -> dict[str, object]:
    """Write the filters of jobs as the query has them."""
    query: dict[str, object] = {k: v for k, v in filters.items() if k != "labels"}
    return query | {"label": [f"{k}:{v}" for k, v in filters.get("labels", {}).items()]}


def run_query(filters: RunFilters) -> dict[str, object]:
    """Write the filters of runs as the query has them."""
    return {k: _instant(v) if isinstance(v, datetime) else v for k, v in filters.items()}


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone, so it is no instant")
    return value.isoformat()
