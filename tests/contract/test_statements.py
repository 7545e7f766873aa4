"""Every named statement is one that the migrated database understands as its header says."""

import re

import pytest

from scheduler_svc.store.pool import Pool
from scheduler_svc.store.queries import QUERIES, Query


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
async def test_the_database_prepares_it_with_as_many_parameters_as_its_header_names(
    pool: Pool, query: Query
) -> None:
    async with pool.acquire() as connection:
        prepared = await connection.prepare(query.sql)
        assert len(prepared.get_parameters()) == len(query.params)


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_a_locking_select_is_never_inside_an_in_list(query: Query) -> None:
    """A nested loop runs such a subquery again for each row, and claims more than its limit."""
    for inner in re.findall(r"\bIN\s*\(\s*SELECT\b.*?\)", query.sql, re.DOTALL | re.IGNORECASE):
        assert "FOR UPDATE" not in inner.upper()
        assert "LIMIT" not in inner.upper()


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_no_list_is_paged_by_offset(query: Query) -> None:
    assert not re.search(r"\bOFFSET\b", query.sql, re.IGNORECASE)
