"""Preconditions as RFC 9110 has them."""

import pytest
from starlette.datastructures import Headers

from scheduler_svc.api import etag
from scheduler_svc.domain.errors import Invalid, PreconditionFailed


def headers(name: str, *lines: str) -> Headers:
    return Headers(raw=[(name.encode(), line.encode("latin-1")) for line in lines])


@pytest.mark.parametrize(
    ("lines", "current"),
    [
        ([], '"3"'),
        ([], None),
        (['"3"'], '"3"'),
        (["*"], '"3"'),
        (['"1", "3"'], '"3"'),
        (['"1"', '"3"'], '"3"'),
        ([' "1" ,, "3" , '], '"3"'),
        (['"a,b", "3"'], '"3"'),
    ],
)
def test_if_match_lets_through_what_it_names(lines: list[str], current: str | None) -> None:
    etag.check(headers("if-match", *lines), current)


@pytest.mark.parametrize(
    ("line", "current"),
    [('"2"', '"3"'), ("*", None), ('"3"', None), ('W/"3"', '"3"'), ('"2", W/"3"', '"3"')],
)
def test_if_match_stops_everything_else_and_weak_tags(line: str, current: str | None) -> None:
    with pytest.raises(PreconditionFailed):
        etag.check(headers("if-match", line), current)


@pytest.mark.parametrize("line", ["*", '"3"', 'W/"3"', '"1", "3"'])
def test_if_none_match_stops_what_it_names(line: str) -> None:
    with pytest.raises(PreconditionFailed):
        etag.check(headers("if-none-match", line), '"3"')


@pytest.mark.parametrize(("line", "current"), [("*", None), ('"2"', '"3"'), ('"3"', None)])
def test_if_none_match_lets_everything_else_through(line: str, current: str | None) -> None:
    etag.check(headers("if-none-match", line), current)


@pytest.mark.parametrize(
    ("lines", "same"),
    [([], False), (['"3"'], True), (['W/"3"'], True), (["*"], True), (['"2"'], False)],
)
def test_a_get_is_spared_its_body_where_the_tag_is_known(lines: list[str], *, same: bool) -> None:
    assert etag.not_modified(headers("if-none-match", *lines), '"3"') is same


@pytest.mark.parametrize("line", ["3", '"3', '3"', '"3" "4"x', "", ",", "* , *", 'w/"3"', '"a b"'])
def test_a_precondition_that_is_no_list_of_tags_is_refused(line: str) -> None:
    with pytest.raises(Invalid) as caught:
        etag.check(headers("if-match", line), '"3"')
    assert caught.value.faults[0].parameter == "If-Match"
