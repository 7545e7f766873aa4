"""TLS: verified always, by the name in the URL, with an authority of the test's own."""

import datetime as dt
import ssl
import warnings
from collections.abc import Sequence

import pytest
import trustme

from receiver import receiving
from scheduler_svc.delivery.tls import client_context
from sending import both_loops, call, sending


def loopback(_: str) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@both_loops
async def test_a_certificate_of_the_authority_for_the_name_is_accepted(
    authority: trustme.CA, ca_file: str
) -> None:
    tls = server_side(authority.issue_cert("ok.example"))
    async with (
        receiving(tls=tls) as receiver,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        url = f"https://ok.example:{receiver.port}/x"
        first, second = await sender.send(call(url)), await sender.send(call(url))
        assert (first.outcome, first.body, first.reused) == ("ok", b"ok", False)
        assert (second.outcome, second.reused) == ("ok", True)
        assert first.timing.tls_ms is not None
        assert second.timing.tls_ms is None
        assert receiver.requests[0].headers["host"] == f"ok.example:{receiver.port}"


@both_loops
async def test_the_name_asked_for_goes_along_in_the_handshake(
    authority: trustme.CA, ca_file: str
) -> None:
    tls = server_side(authority.issue_cert("ok.example"))
    names: list[str | None] = []
    tls.sni_callback = lambda _, name, __: names.append(name)
    async with (
        receiving(tls=tls) as receiver,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        await sender.send(call(f"https://ok.example:{receiver.port}/"))
        assert names == ["ok.example"]


@both_loops
async def test_an_address_needs_a_certificate_for_the_address(
    authority: trustme.CA, ca_file: str
) -> None:
    async with sending(ca_file=ca_file) as sender:
        async with receiving(tls=server_side(authority.issue_cert("127.0.0.1"))) as receiver:
            assert (await sender.send(call(receiver.url()))).outcome == "ok"
        async with receiving(tls=server_side(authority.issue_cert("ok.example"))) as receiver:
            assert (await sender.send(call(receiver.url()))).outcome == "tls_error"


def expired(authority: trustme.CA) -> ssl.SSLContext:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    issued = yesterday - dt.timedelta(days=1)
    return server_side(authority.issue_cert("ok.example", not_before=issued, not_after=yesterday))


def only_in_cn(authority: trustme.CA) -> ssl.SSLContext:
    return server_side(authority.issue_cert("other.example", common_name="ok.example"))


def wrong_name(authority: trustme.CA) -> ssl.SSLContext:
    return server_side(authority.issue_cert("other.example"))


def other_authority(_: trustme.CA) -> ssl.SSLContext:
    return server_side(trustme.CA().issue_cert("ok.example"))


def too_old(authority: trustme.CA) -> ssl.SSLContext:
    context = server_side(authority.issue_cert("ok.example"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # that it is old is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.parametrize("fault", [expired, only_in_cn, wrong_name, other_authority])
@both_loops
async def test_what_can_not_be_verified_is_a_tls_error_and_gets_no_request(
    fault: object, authority: trustme.CA, ca_file: str
) -> None:
    assert callable(fault)
    async with (
        receiving(tls=fault(authority)) as receiver,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        exchange = await sender.send(call(f"https://ok.example:{receiver.port}/"))
        assert (exchange.outcome, exchange.status_code) == ("tls_error", None)
        assert exchange.error is not None
        assert receiver.requests == []


@both_loops
async def test_a_server_that_speaks_only_old_tls_gets_no_request(
    authority: trustme.CA, ca_file: str
) -> None:
    async with (
        receiving(tls=too_old(authority)) as receiver,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        exchange = await sender.send(call(f"https://ok.example:{receiver.port}/"))
        # OpenSSL may hang up instead of sending its alert.
        assert exchange.outcome in {"tls_error", "connect_error"}
        assert receiver.requests == []


@both_loops
async def test_the_systems_authorities_do_not_vouch_for_a_certificate_of_ours(
    authority: trustme.CA,
) -> None:
    tls = server_side(authority.issue_cert("ok.example"))
    async with receiving(tls=tls) as receiver, sending(resolver=loopback) as sender:
        exchange = await sender.send(call(f"https://ok.example:{receiver.port}/"))
        assert exchange.outcome == "tls_error"
        assert "certificate not accepted" in (exchange.error or "")


@both_loops
async def test_plain_http_on_a_tls_port_is_a_tls_error(ca_file: str) -> None:
    async with receiving() as receiver, sending(ca_file=ca_file) as sender:
        receiver.default = _unreached
        exchange = await sender.send(
            call(f"https://127.0.0.1:{receiver.port}/", connect_timeout=0.3)
        )
        assert exchange.outcome in {"tls_error", "connect_error", "timeout"}


async def _unreached(_: object, __: object) -> None:
    raise AssertionError("a TLS hello was read as a request")


def test_the_context_verifies_and_takes_nothing_older_than_tls_1_2() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
