"""Templates: what they mean, and that what they insert stays a value wherever it is put."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from factories import MORNING_MS
from scheduler_svc.delivery.render import filled_url
from scheduler_svc.domain.template_places import (
    parse_body,
    parse_header,
    parse_query,
    render_body,
    render_header,
    render_query,
)
from scheduler_svc.domain.templates import (
    Facts,
    SecretGone,
    Slot,
    TemplateRefused,
    parse,
    slots,
    value_of,
)
from scheduler_svc.domain.url import parse_url

WORST = "&x=1#y?z+%41 ;:/@\"'\\\r\n\t\x00{{run.id}}é世"
AWKWARD = st.sampled_from("&=?#/%+;:@ \"'\\\r\n\t\x00{}<>é世")
TEXT = st.text(AWKWARD | st.characters(exclude_categories=["Cs"]), max_size=30)
LITERAL = TEXT.filter(lambda text: "{" not in text)
RUN, JOB = UUID(int=1), UUID(int=2)


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "run_id": RUN,
        "scheduled_ms": MORNING_MS + 1500,
        "attempt": 3,
        "trigger": "manual",
        "job_id": JOB,
        "job_name": "weekly",
        "labels": {"team": "billing"},
    }
    return Facts(**{**known, **changes})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{{run.id}}", str(RUN)),
        ("{{ run.attempt }}/{{run.trigger}}", "3/manual"),
        ("{{job.id}} {{job.name}} {{job.labels.team}}", f"{JOB} weekly billing"),
        ("{{run.scheduled_for}}", "2026-01-05T08:00:01.500Z"),
        ("{{run.scheduled_for | date '%Y-%m-%d'}}", "2026-01-05"),
        ('{{run.scheduled_for|date "%d/%m/%y %H:%M:%S.%f"}}', "05/01/26 08:00:01.500000"),
        ("{{run.scheduled_for | date '%H%z' 'Europe/Berlin'}}", "09+0100"),
        ("{{run.scheduled_for | date '%H' \"America/New_York\"}}", "03"),
        (
            "{{run.scheduled_for | date '%G-W%V-%u day %j, %s, 100%%'}}",
            "2026-W02-1 day 005, 1767600001, 100%",
        ),
        ("a {{'{{'}} b {{\"}}\"}} c", "a {{ b }} c"),
        ("}} } { {'x'}", "}} } { {'x'}"),
        ("{{''}}", ""),
    ],
)
def test_a_template_says_what_an_attempt_knows(text: str, written: str) -> None:
    template = parse(text, secrets=False)
    assert (
        "".join(part if isinstance(part, str) else value_of(part, facts(), {}) for part in template)
        == written
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{}}",
        "{{ }}",
        "{{run.id}",
        "{{run id}}",
        "{{{run.id}}}",
        "{{.id}}",
        "{{run.}}",
        "{{run.id | date '%Y' }}",
        "{{run.scheduled_for | date '%Y' 'UTC' 'x'}}",
        "{{job}}",
        "{{run.scheduled_for | date '%'}}",
        "{{run.scheduled_for | date '%-d'}}",
        "{{run.scheduled_for | date %Y}}",
        "{{run.scheduled_for || date '%Y'}}",
        "{{1}}",
        "{{secret:x}}",
        "{{env.HOME}}",
        "{{run.__class__}}",
        "{{run.id.hex}}",
        "{{'a'b'}}",
    ],
)
def test_nothing_else_is_a_template(text: str) -> None:
    with pytest.raises(TemplateRefused):
        parse(text, secrets=False)


def test_a_job_without_a_name_inserts_nothing_and_a_missing_secret_is_named() -> None:
    assert value_of(Slot("job.name"), facts(job_name=None), {}) == ""
    with pytest.raises(SecretGone) as gone:
        value_of(Slot("secret:a"), facts(), {"b": "x"})
    assert gone.value.name == "a"


@given(value=TEXT, before=LITERAL, after=LITERAL)
@example(value=WORST, before='"', after="\\")
def test_an_inserted_value_can_not_end_a_json_string(value: str, before: str, after: str) -> None:
    document = {"k": [before + "{{job.labels.x}}" + after, {"n": 1.5, "plain": after}]}
    for ascii_only in (True, False):
        template = parse_body(json.dumps(document, ensure_ascii=ascii_only))
        assert template is not None
        written = render_body(template, facts(labels={"x": value}))
        assert json.loads(written) == {"k": [before + value + after, {"n": 1.5, "plain": after}]}


@given(value=TEXT, other=TEXT)
@example(value=WORST, other="&")
@example(value="&", other=WORST)
def test_an_inserted_value_can_not_end_a_parameter_nor_reach_the_rest_of_an_address(
    value: str, other: str
) -> None:
    text = "https://example.com:8443/a/b?x={{job.labels.x}}&fixed=1&y=p{{secret:s}}q"
    judged, template = parse_query(text)
    assert template is not None
    url = filled_url(
        parse_url(judged), render_query(template, facts(labels={"x": value}), {"s": other})
    )
    parts = urlsplit(str(url))
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "example.com:8443", "/a/b")
    assert parts.fragment == ""
    assert parse_qsl(parts.query, keep_blank_values=True, encoding="utf-8", errors="strict") == [
        ("x", value),
        ("fixed", "1"),
        ("y", f"p{other}q"),
    ]
    assert url.target.isascii()
    assert url.target.isprintable()
    assert " " not in url.target


@given(value=TEXT)
@example(value="\r")
@example(value="\n")
@example(value="é")
def test_an_inserted_value_can_not_end_a_header_s_line(value: str) -> None:
    template = parse_header("a {{job.labels.x}} b")
    assert template is not None
    written = render_header(template, facts(labels={"x": value}), {})
    safe = all(character == "\t" or " " <= character <= "~" for character in value)
    assert written == (f"a {value} b" if safe else None)


@given(st.text(max_size=60))
def test_a_text_is_a_template_or_is_refused_and_without_braces_is_itself(text: str) -> None:
    try:
        template = parse(text, secrets=True)
    except TemplateRefused:
        assert "{{" in text
    else:
        if "{{" not in text:
            assert template == ((text,) if text else ())


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), LITERAL),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(LITERAL, inner, max_size=3)
        ),
    )
)
def test_a_body_without_templates_is_none(document: Any) -> None:
    assert parse_body(json.dumps(document)) is None
    assert parse_body(json.dumps(document, ensure_ascii=False)) is None


def test_braces_spelled_as_escapes_are_braces_all_the_same() -> None:
    template = parse_body(r'{"a": "\u007B\u007brun.attempt}}", "b": "\"{{run.attempt}}\\"}')
    assert template is not None
    assert [slot.name for slot in slots(template)] == ["run.attempt"] * 2
    assert json.loads(render_body(template, facts())) == {"a": "3", "b": '"3\\'}
