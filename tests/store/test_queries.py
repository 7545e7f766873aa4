"""Named statements: found by name, refused when header and text disagree."""

import pytest

from scheduler_svc.store.queries import QUERIES, collect, parse, statement

TWO = """-- A preface about the file.

-- first(job_id, now)
-- Why it is there,
-- in two lines.
SELECT $1, $2, '$9', $1;

-- second()
-- Nothing to give. The comment -- third(x) is no header, for no blank line stands before it.
-- third(x)
SELECT 1
-- inside it a comment about $7 stays
WHERE true;
"""


def test_a_block_is_a_header_a_why_and_a_statement() -> None:
    first, second = parse(TWO, "two.sql")
    assert first.params == ("job_id", "now")
    assert first.why == "Why it is there, in two lines."
    assert first.sql == "/* first */ SELECT $1, $2, '$9', $1"
    assert second.params == ()
    assert second.sql.endswith("-- inside it a comment about $7 stays\nWHERE true")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- one(a)\nSELECT $1, $2", "1 parameters, but the text uses [1, 2]"),
        ("-- one(a, b)\nSELECT $2", "2 parameters, but the text uses [2]"),
        ("-- one(a)\nSELECT '$1'", "1 parameters, but the text uses []"),
        ("SELECT 1", "expected '-- name(param, ...)'"),
    ],
)
def test_a_block_whose_parts_disagree_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"bad\.sql:1: ") as refused:
        list(parse(text, "bad.sql"))
    assert complaint in str(refused.value)


def test_a_name_given_twice_is_refused() -> None:
    twice = [*parse("-- one()\nSELECT 1", "a.sql"), *parse("-- one()\nSELECT 2", "b.sql")]
    with pytest.raises(ValueError, match="the statement one is there twice"):
        collect(twice)


def test_every_statement_says_why_it_is_there() -> None:
    assert [query.name for query in QUERIES.values() if not query.why] == []


def test_an_unknown_name_is_a_fault_of_the_caller() -> None:
    with pytest.raises(KeyError):
        statement("no_such_statement")
