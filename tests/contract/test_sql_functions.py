"""The functions in SQL know the same definition as the API: their shape is made of its type."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler_svc.domain.jobs import NAME_PATTERN, Definition
from scheduler_svc.store.pool import Pool

MIGRATIONS = sorted((Path(__file__).parents[2] / "migrations").glob("*.sql"))
BLOCK = re.compile(r"(AS \$shape\$\n    SELECT ')(.*?)('::jsonb\n\$shape\$;)", re.DOTALL)
LATEST = next(path for path in reversed(MIGRATIONS) if BLOCK.search(path.read_text()))
REWRITE = "python tests/contract/test_sql_functions.py"
FOR_PEOPLE = {"title", "description", "examples", "default", "discriminator"}
GOOD: dict[str, Any] = {
    "name": "a",
    "labels": {"team": "billing"},
    "schedule": {"at": ["2099-01-01T00:00:00Z", "2099-01-01T00:00:00.5+05:30"], "max_runs": 3},
    "target": {
        "url": "https://example.com/",
        "headers": {"X-A": "b"},
        "body": {"deep": [1, None, {"x": 1.5}]},
        "success_status": ["2xx", 404],
        "auth": {"type": "oidc", "audience": "x"},
        "redact": {"headers": ["a"], "pointers": []},
    },
    "retry": {"multiplier": 1.5, "delays": ["1s", "1h30m"], "on": [500]},
    "misfire": {"policy": "all", "max_lateness": None},
    "alerts": {"url": None, "failures_of": {"failures": 1, "runs": 2}, "slow_factor": 2},
    "priority": -100,
}


def shape() -> dict[str, Any]:
    """Make the shape: the type's JSON Schema with its references resolved."""
    schema = msgspec.json.schema(Definition)
    resolved: dict[str, Any] = _resolved(schema, schema["$defs"])
    return resolved


def _resolved(part: Any, known: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_resolved(one, known) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _resolved(known[part["$ref"].rpartition("/")[2]], known)
    made = {
        name: {key: _resolved(one, known) for key, one in inner.items()}
        if name == "properties"
        else _resolved(inner, known)
        for name, inner in part.items()
        if name not in FOR_PEOPLE and name != "$defs"
    }
    if "anyOf" in made:
        flat = [one.get("anyOf", [one]) for one in made["anyOf"]]
        made["anyOf"] = [one for inner in flat for one in inner]
    return made


def written() -> str:
    """Write the shape as it stands in the migration: a member of the definition a line."""
    made = shape()
    properties = made.pop("properties")
    lines = [f'"{name}": {json.dumps(one)}' for name, one in properties.items()]
    rest = json.dumps(made)[1:-1]
    return f'{{{rest}, "properties": {{\n' + ",\n".join(lines) + "\n}}"


def test_the_shape_in_sql_is_the_type_of_the_api() -> None:
    found = BLOCK.search(LATEST.read_text())
    assert found is not None
    told = (
        f"what a definition may hold has changed: before a release run {REWRITE} and make schema;"
    )
    told += " after one, a new migration replaces scheduler.job_shape()"
    assert json.loads(found[2]) == shape(), told
    assert NAME_PATTERN in found[2]


async def faults(pool: Pool, definition: Any) -> list[str]:
    async with pool.acquire() as conn:
        told: list[str] = await conn.fetchval(
            "SELECT scheduler.shape_faults($1::text::jsonb, scheduler.job_shape(), '')",
            json.dumps(definition),
        )
    return told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"nmae": "x"}, ["/nmae: unknown field; known are alerts"]),
        ({"name": "Not Good"}, ["/name: does not match"]),
        ({"priority": 101}, ["/priority: must be at least -100, at most 100"]),
        ({"priority": 1.5}, ["/priority: must be a whole number"]),
        ({"priority": "1"}, ["/priority: must be integer, not string"]),
        ({"overlap": "sometimes"}, ["/overlap: must be one of"]),
        ({"labels": {"UP": "x", "b": 3}}, ["/labels/UP: does not match", "/labels/b: must be st"]),
        ({"target": {}}, ["/target/url: is required"]),
        ({"target": None}, ["/target: must be object, not null"]),
        ({"schedule": {"at": "tomorrow"}}, ["/schedule/at: must be an RFC 3339 instant"]),
        ({"schedule": {"at": "2099-02-30T00:00:00Z"}}, ["/schedule/at: must be an RFC 3339"]),
        ({"schedule": {"at": "2099-01-01T00:00:00"}}, ["/schedule/at: must be an RFC 3339"]),
        ({"schedule": {"every": "5 minutes"}}, ["/schedule/every: does not match"]),
        (
            {"target": {"url": "http://a.test/", "auth": {"type": "bearer"}}},
            ["/target/auth/token: is required"],
        ),
        (
            {"retry": {"delays": [], "max_attempts": 0}},
            ["/retry/delays: has 0 items", "/retry/max_attempts: must be at least 1"],
        ),
    ],
)
async def test_what_has_another_shape_is_refused_with_its_pointer(
    pool: Pool, change: dict[str, Any], told: list[str]
) -> None:
    found = sorted(await faults(pool, GOOD | change))
    assert len(found) == len(told), found
    for line, begin in zip(found, told, strict=True):
        assert line.startswith(begin), line


LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 7, 2.5, "", "x", "1h", "2xx", "2099-01-01T00:00:00Z", "basic", [], {}]
)


@st.composite
def definitions(draw: st.DrawFn) -> Any:
    """A good definition in which some places were changed."""
    made = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        place = made
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = draw(st.sampled_from(names))
            if isinstance(place[name], dict | list) and draw(st.booleans()):
                place = place[name]
                continue
            if draw(st.integers(0, 4)) == 0:
                del place[name]
            else:
                place[name] = draw(LEAVES)
            break
    return made


async def test_what_sql_lets_pass_the_api_can_read(pool: Pool) -> None:
    drawn: list[Any] = []

    @settings(max_examples=300, suppress_health_check=list(HealthCheck), database=None)
    @given(definitions())
    def collect(definition: Any) -> None:
        drawn.append(definition)

    collect()
    passed = [one for one in drawn if not await faults(pool, one)]
    for definition in passed:
        msgspec.json.decode(json.dumps(definition), type=Definition)
    assert 0 < len(passed) < len(drawn)


def rewrite() -> None:
    """Put the shape of the type into the migration that is not released yet."""
    text = LATEST.read_text()
    LATEST.write_text(BLOCK.sub(lambda found: found[1] + written() + found[3], text))


if __name__ == "__main__":
    rewrite()
