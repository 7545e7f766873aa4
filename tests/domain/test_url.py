"""One parser for targets: what it takes, in which canonical form, and all that it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_svc.domain.url import URL_LENGTH_MAX, UrlRefused, join_url, parse_url

# Spellings of loopback and metadata that some resolver would take, and their kin.
ENCODED = """
127.1 127.0.1 0 0x0 00000000 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 127.0.0.01
1.2.3.4.5 2852039166 0xa9fea9fe 0251.0376.0251.0376 169.254.43518 127.0.0.1. 0x a.0x1 example.1
\uff11\uff12\uff17.0.0.1 \u2460\u2461\u2466.0.0.1 127\u30020\u30020\u30021 256.1.1.1 127.0.0.1%00
""".split()  # noqa: SIM905 - a table reads better


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTP://EXAMPLE.com/A", "http://example.com/A"),
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com:8080?x=1", "http://example.com:8080/?x=1"),
        ("https://example.com./x", "https://example.com/x"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://BÜCHER.example/", "http://xn--bcher-kva.example/"),
        ("http://faß.example/", "http://xn--fa-hia.example/"),
        ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"),
        ("http://my_service.example/", "http://my_service.example/"),
        ("http://r3---sn.example/", "http://r3---sn.example/"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
        ("http://[2001:4860:4860:0:0:0:0:8888]:81/", "http://[2001:4860:4860::8888]:81/"),
        ("http://example.com/ä?ö=ü", "http://example.com/%C3%A4?%C3%B6=%C3%BC"),
        ("http://example.com/%0d%0a?a=%00", "http://example.com/%0d%0a?a=%00"),
        ("http://example.com/a@b?c@d", "http://example.com/a@b?c@d"),
        ('http://example.com/<"{|}">', "http://example.com/%3C%22%7B%7C%7D%22%3E"),
        ("http://example.com/../a//b", "http://example.com/../a//b"),
    ],
)
def test_an_address_has_one_canonical_form(text: str, canonical: str) -> None:
    assert str(parse_url(text)) == canonical
    assert parse_url(canonical) == parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        *(f"http://{host}/" for host in ENCODED),
        # Userinfo, and what one parser or another takes for it.
        "http://user:pass@ok.example/",
        "http://ok.example@127.0.0.1/",
        "http://a@b@127.0.0.1/",
        "http://ok.example#@127.0.0.1/",
        "http://ok.example?@127.0.0.1/",
        "http://ok.example\\@127.0.0.1/",
        "http://@ok.example/",
        # Shapes.
        "",
        "http:/x",
        "http:x",
        "http:///",
        "http:////x/",
        "//x/",
        "x",
        "/path",
        "http://",
        "http://?x",
        "http://[::1",
        "http://::1/",
        "http://[::1]x/",
        "http://[v1.x]/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]/",
        "http://a:80:80/",
        "http://ok.example:/",
        "http://ok.example:0/",
        "http://ok.example:080/",
        "http://ok.example:65536/",
        "http://ok.example:99999/",
        "http://ok.example:-1/",
        "http://ok.example:\u0661/",
        "http://a%2fb.example/",
        "http://a%00b.example/",
        "http://%65xample.com/",
        "http://ok.example/#part",
        "http://ok.example/50%",
        "http://ok.example/%zz",
        # Names.
        "http://a..b/",
        "http://.example/",
        "http://example.com../",
        "http://-a.example/",
        "http://a-.example/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
        "http://xn--a.example/",
        "http://xn--.example/",
        "http://ex\uff0eample/",
        "http://a\u3002b/",
        "http://\u00ad.example/",
        "http://a*b.example/",
        "http://a!b.example/",
        # Characters nobody sees.
        " http://ok.example/",
        "http://ok.example/ ",
        "http://ok.example/a b",
        "http://ok.example/a\tb",
        "http://ok.example/a\r\nX: y",
        "http://ok.example/\x00",
        "http://ok.example/\x7f",
        "http://ok.example/\u202e",
        "http://ok.example/\u00a0",
        "http://ok.example/\ud800",
        "http://o\u200bk.example/",
        # Schemes.
        "file:///etc/passwd",
        "gopher://ok.example/",
        "ftp://ok.example/",
        "dict://ok.example/",
        "ldap://ok.example/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "ws://ok.example/",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
        "unix:/var/run/docker.sock",
        "http://ok.example/" + "a" * URL_LENGTH_MAX,
        "http://ok.example/" + "\u20ac" * 300,
    ],
)
def test_what_parsers_disagree_about_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        parse_url(text)
    assert len(refused.value.reason) > 10


def test_the_parts_are_what_is_dialled_and_written() -> None:
    url = parse_url("https://Example.COM:8443/a?b=c")
    assert (url.scheme, url.host, url.port, url.target) == ("https", "example.com", 8443, "/a?b=c")
    assert (url.authority, url.origin) == ("example.com:8443", "https://example.com:8443")
    literal = parse_url("http://[::1]:81/")
    assert (literal.host, literal.literal, literal.authority) == ("::1", True, "[::1]:81")


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for candidate in (text, f"http://{text}", f"http://{text}/", f"https://ok.example/{text}"):
        try:
            url = parse_url(candidate)
        except UrlRefused:
            continue
        written = str(url)
        assert parse_url(written) == url
        assert written.isascii()
        assert written.isprintable()
        assert not set(written) & set(' \\"<>^`{|}')


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/other", "http://a.example:81/other"),
        ("other?x=1#part", "http://a.example:81/dir/other?x=1"),
        ("?q", "http://a.example:81/dir/page?q"),
        ("//b.example/x", "http://b.example/x"),
        ("https://b.example", "https://b.example/"),
        ("/\u00e4", "http://a.example:81/%C3%A4"),
    ],
)
def test_a_location_is_resolved_against_the_page_that_named_it(
    location: str, expected: str
) -> None:
    assert str(join_url(parse_url("http://a.example:81/dir/page"), location)) == expected


@pytest.mark.parametrize(
    "location",
    [
        "http:///x",
        "http:x",
        "http:/x",
        "file:///etc/passwd",
        "//user@b.example/",
        "/a b",
        "http://0x7f.1/",
        "//[::1",
        "\t/",
    ],
)
def test_a_location_is_judged_like_any_other_address(location: str) -> None:
    with pytest.raises(UrlRefused):
        join_url(parse_url("http://a.example/"), location)
