"""A target's own trust and identity: its authorities alone, its certificate, and nobody else's."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme

from pem import ca_of, chain_of, key_of, tls_of
from receiver import answer, receiving
from scheduler_svc.delivery import trust as trust_module
from scheduler_svc.delivery.trust import Contexts, Trust, trust_of
from scheduler_svc.domain.tls import Tls
from sending import both_loops, call, sending

NAME = "ok.example"
# Servers on asyncio hang up without a word where they miss a certificate.
REFUSED = {"tls_error", "connect_error"}


def loopback(_: str) -> Sequence[str]:
    return ["127.0.0.1"]


def trust(tls: Tls) -> Trust:
    made = trust_of(tls)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def server_side(leaf: trustme.LeafCert, clients_of: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    if clients_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients_of.configure_trust(context)
    return context


@both_loops
async def test_an_own_authority_is_trusted_without_any_setting(authority: trustme.CA) -> None:
    own = trust(Tls(ca=ca_of(authority)))
    async with (
        receiving(tls=server_side(authority.issue_cert(NAME))) as receiver,
        sending(resolver=loopback) as sender,
    ):
        url = f"https://{NAME}:{receiver.port}/"
        assert (await sender.send(call(url, tls=own))).outcome == "ok"
        assert (await sender.send(call(url))).outcome == "tls_error"


@both_loops
async def test_an_own_authority_is_trusted_instead_of_all_others(
    authority: trustme.CA, other_authority: trustme.CA, ca_file: str
) -> None:
    own = trust(Tls(ca=ca_of(other_authority)))
    async with (
        receiving(tls=server_side(authority.issue_cert(NAME))) as receiver,
        sending(resolver=loopback, ca_file=ca_file) as sender,
    ):
        url = f"https://{NAME}:{receiver.port}/"
        assert (await sender.send(call(url))).outcome == "ok"
        exchange = await sender.send(call(url, tls=own))
        assert (exchange.outcome, exchange.reused) == ("tls_error", False)
        assert len(receiver.requests) == 1


@both_loops
async def test_an_intermediate_authority_or_the_servers_own_certificate_may_be_all_that_is_trusted(
    authority: trustme.CA,
) -> None:
    intermediate = authority.create_child_ca()
    leaf = intermediate.issue_cert(NAME)
    alone = leaf.cert_chain_pems[0].bytes().decode()
    async with (
        receiving(tls=server_side(leaf)) as receiver,
        sending(resolver=loopback) as sender,
    ):
        url = f"https://{NAME}:{receiver.port}/"
        for ca in (ca_of(intermediate), alone, f"# ours, näturlich\n{alone}"):
            assert (await sender.send(call(url, tls=trust(Tls(ca=ca))))).outcome == "ok"


@both_loops
async def test_a_client_certificate_goes_along_where_a_target_has_one(
    authority: trustme.CA, ca_file: str
) -> None:
    own = trust(tls_of(leaf=authority.issue_cert("client.example")))
    tls = server_side(authority.issue_cert(NAME), clients_of=authority)
    async with (
        receiving(tls=tls) as receiver,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        url = f"https://{NAME}:{receiver.port}/"
        assert (await sender.send(call(url, tls=own))).outcome == "ok"
        # Without it: another connection, and no entry.
        without = await sender.send(call(url))
        assert without.outcome in REFUSED
        assert not without.reused
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("stranger", [False, True])
@both_loops
async def test_a_server_that_says_why_it_takes_no_client_is_a_tls_error(
    stranger: bool, authority: trustme.CA, other_authority: trustme.CA, ca_file: str
) -> None:
    """With TLS 1.3 its alert comes after the handshake, when the request is on its way."""
    leaf = other_authority.issue_cert("client.example")
    own = trust(tls_of(leaf=leaf)) if stranger else None
    context = server_side(authority.issue_cert(NAME), clients_of=authority)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refusing, args=(context, listener), daemon=True)
        thread.start()
        async with sending(ca_file=ca_file, resolver=loopback) as sender:
            url = f"https://{NAME}:{listener.getsockname()[1]}/"
            exchange = await sender.send(call(url, tls=own))
        await asyncio.to_thread(thread.join, 5)
    assert (exchange.outcome, exchange.status_code) == ("tls_error", None)
    assert ("unknown ca" if stranger else "certificate required") in (exchange.error or "")


def refusing(context: ssl.SSLContext, listener: socket.socket) -> None:
    """Shake hands on a blocking socket, where OpenSSL sends its alerts itself."""
    accepted, _ = listener.accept()
    secured = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
    with contextlib.suppress(ssl.SSLError):
        secured.do_handshake()
    with socket.socket(fileno=secured.detach()) as plain:
        plain.settimeout(5)
        # What is left unread would make the end a reset, which overtakes the alert.
        with contextlib.suppress(OSError):
            while plain.recv(65536):
                pass


@both_loops
async def test_another_server_name_is_asked_for_and_verified_instead_of_the_host(
    authority: trustme.CA,
) -> None:
    context = server_side(authority.issue_cert("inner.example"))
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)
    async with receiving(tls=context) as receiver, sending(resolver=loopback) as sender:
        url = f"https://{NAME}:{receiver.port}/"
        right = trust(Tls(ca=ca_of(authority), server_name="inner.example"))
        assert (await sender.send(call(url, tls=right))).outcome == "ok"
        assert receiver.requests[0].headers["host"] == f"{NAME}:{receiver.port}"
        for name in (None, "other.example", NAME):
            wrong = trust(Tls(ca=ca_of(authority), server_name=name))
            assert (await sender.send(call(url, tls=wrong))).outcome == "tls_error"
        assert names == ["inner.example", NAME, "other.example", NAME]


@both_loops
async def test_connections_are_shared_by_equal_trust_and_identity_and_by_no_other(
    authority: trustme.CA, ca_file: str
) -> None:
    client = authority.issue_cert("client.example")
    tls = server_side(authority.issue_cert(NAME))
    told = [
        None,
        Tls(ca=ca_of(authority)),
        Tls(ca=ca_of(authority), server_name=NAME),
        tls_of(leaf=client),
        tls_of(ca=authority, leaf=client),
        tls_of(ca=authority, leaf=authority.issue_cert("client.example")),
    ]
    async with (
        receiving(tls=tls) as receiver,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        url = f"https://{NAME}:{receiver.port}/"
        for one in told:
            exchange = await sender.send(call(url, tls=trust_of(one)))
            assert (exchange.outcome, exchange.reused) == ("ok", False)
        assert receiver.connections == len(told)
        # Equal ones, read anew, share what is open.
        told[-2] = tls_of(ca=authority, leaf=client)
        for one in told:
            exchange = await sender.send(call(url, tls=trust_of(one)))
            assert (exchange.outcome, exchange.reused) == ("ok", True)
        again = await sender.send(call(url, tls=trust_of(told[1]), partition="other"))
        assert not again.reused


@both_loops
async def test_trust_and_identity_stay_with_the_origin_they_were_meant_for(
    authority: trustme.CA, ca_file: str
) -> None:
    own = trust(tls_of(ca=authority, leaf=authority.issue_cert("client.example")))
    tls = server_side(authority.issue_cert(NAME))
    picky = server_side(authority.issue_cert(NAME), clients_of=authority)
    async with (
        receiving(tls=tls) as receiver,
        receiving(tls=picky) as elsewhere,
        sending(ca_file=ca_file, resolver=loopback) as sender,
    ):
        origin = f"https://{NAME}:{receiver.port}"
        receiver.on("/same", answer(307, b"", {"Location": f"{origin}/next"}))
        away = f"https://{NAME}:{elsewhere.port}/next"
        receiver.on("/away", answer(307, b"", {"Location": away}))
        same = await sender.send(call(f"{origin}/same", tls=own, redirects=1))
        assert (same.outcome, receiver.connections) == ("ok", 1)
        exchange = await sender.send(call(f"{origin}/away", tls=own, redirects=1))
        assert exchange.outcome in REFUSED
        assert elsewhere.requests == []
        # It would have been let in with the certificate.
        assert (await sender.send(call(away, tls=own))).outcome == "ok"


@both_loops
async def test_a_context_is_made_once_however_many_calls_need_it(authority: trustme.CA) -> None:
    tls = tls_of(ca=authority, leaf=authority.issue_cert("client.example"))
    contexts = Contexts(None)
    made = await asyncio.gather(*[contexts.context(trust(tls)) for _ in range(50)])
    assert len(set(map(id, made))) == 1


@both_loops
async def test_contexts_are_kept_up_to_a_bound(authority: trustme.CA) -> None:
    contexts = Contexts(None)
    ca = ca_of(authority)
    names = [f"n{number}.example" for number in range(trust_module.CONTEXTS_MAX + 10)]
    first = await contexts.context(trust(Tls(ca=ca, server_name=names[0])))
    for name in names:
        await contexts.context(trust(Tls(ca=ca, server_name=name)))
    assert len(contexts._known) == trust_module.CONTEXTS_MAX
    assert await contexts.context(trust(Tls(ca=ca, server_name=names[0]))) is not first


@both_loops
async def test_no_context_of_a_target_verifies_less(authority: trustme.CA) -> None:
    leaf = authority.issue_cert("client.example")
    contexts = Contexts(None)
    for tls in (
        Tls(ca=ca_of(authority)),
        Tls(server_name="x.example"),
        tls_of(leaf=leaf),
        tls_of(ca=authority, leaf=leaf),
    ):
        context = await contexts.context(trust(tls))
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@both_loops
async def test_a_key_is_on_no_disk_and_in_no_text(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = authority.issue_cert("client.example")
    own = trust(tls_of(leaf=leaf))
    secret = key_of(leaf).splitlines()[1]
    written: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, certfile: str, **given: str) -> None:
        written.append(Path(certfile).read_text())
        load(self, certfile, **given)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await Contexts(None).context(own)
    (text,) = written
    assert chain_of(leaf).splitlines()[1] in text
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert secret not in text
    assert list(tmp_path.iterdir()) == []
    assert secret not in repr(own)
    assert own.key is not None
    assert own.key not in repr(own)
