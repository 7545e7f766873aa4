"""Commands that ask over TLS: a private authority is trusted, and a certificate is come with."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from asking import Cli
from balancer import Balancer, a_balancer

LIST = ("jobs", "list")


@pytest.fixture
async def before(address: str, tmp_path: Path) -> AsyncIterator[Balancer]:
    """What stands before the service, and lets nobody in without a certificate."""
    async with a_balancer(address, tmp_path) as one:
        yield one


def pair(one: Balancer) -> tuple[str, ...]:
    return ("--client-cert", str(one.cert), "--client-key", str(one.key))


async def test_switches_name_whom_to_trust_and_as_whom_to_come(cli: Cli, before: Balancer) -> None:
    place = ("--url", before.url, "--ca-file", str(before.ca))
    made = ("jobs", "create", "--name", "a", "--every", "1h", "--target", "http://127.0.0.1:9/")
    told = await cli(*made, *place, *pair(before))
    assert told.code == 0, told.err
    told = await cli(*LIST, "--json", *place, "--client-cert", str(before.both))
    assert [job["name"] for job in told.json] == ["a"]
    assert (await cli("preview", "0 9 * * *", *place, *pair(before))).code == 0


async def test_the_environment_and_the_file_name_them_too(
    cli: Cli, before: Balancer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / ".config"
    config.mkdir()
    (config / "scheduler-svc.toml").write_text(
        f'ca_file = "{before.ca}"\nclient_cert = "~/{before.cert.name}"\n'
        f'client_key = "~/{before.key.name}"\n'
    )
    monkeypatch.setenv("SCHEDULER_URL", before.url)
    told = await cli(*LIST)
    assert told.code == 0, told.err
    monkeypatch.setenv("SCHEDULER_CLIENT_CERT", str(before.strange))
    assert (await cli(*LIST)).code == 3
    # The one that is nearer comes with its own key, or has it within: never with another's.
    assert (await cli(*LIST, "--client-cert", str(before.both))).code == 0
    (config / "scheduler-svc.toml").unlink()
    monkeypatch.setenv("SCHEDULER_CA_FILE", str(before.ca))
    monkeypatch.setenv("SCHEDULER_CLIENT_CERT", str(before.cert))
    monkeypatch.setenv("SCHEDULER_CLIENT_KEY", str(before.key))
    told = await cli(*LIST)
    assert told.code == 0, told.err


async def test_an_authority_that_nobody_named_is_not_trusted(cli: Cli, before: Balancer) -> None:
    told = await cli(*LIST, "--url", before.url, *pair(before))
    assert (told.code, "--ca-file" in told.err) == (3, True)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_comes_without_a_certificate_or_with_a_strange_one_is_not_let_in(
    cli: Cli, address: str, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    async with a_balancer(address, tmp_path, newest) as one:
        place = ("--url", one.url, "--ca-file", str(one.ca))
        for more in ((), ("--client-cert", str(one.strange))):
            told = await cli(*LIST, *place, *more)
            assert (told.code, told.out) == (3, "")
            # TLS 1.3 tells so after the handshake, and a reset may come before it is read.
            assert newest == ssl.TLSVersion.TLSv1_3 or "--client-cert" in told.err


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        (("--ca-file", "none.pem"), "none.pem: No such file"),
        (("--ca-file", "nonsense"), "nonsense: no certificate"),
        (("--client-cert", "nonsense"), "nonsense: it is no PEM"),
        (("--client-cert", "caller.pem"), "caller.pem: "),
        (("--client-cert", "caller.pem", "--client-key", "other.key"), "key values mismatch"),
        (("--client-cert", "caller.pem", "--client-key", "locked.key"), "is encrypted"),
        (("--client-key", "caller.key"), "needs its certificate"),
        (("--url", "http://127.0.0.1:1", "--ca-file", "ca.pem"), "--ca-file is for https"),
    ],
)
async def test_a_file_that_can_not_be_used_is_named_before_anything_is_sent(
    cli: Cli, before: Balancer, tmp_path: Path, switches: tuple[str, ...], said: str
) -> None:
    (tmp_path / "nonsense").write_text("nonsense")
    (tmp_path / "other.key").write_bytes(before.strange.read_bytes().partition(b"-----BEGIN C")[0])
    key = serialization.load_pem_private_key(before.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hush"),
    )
    (tmp_path / "locked.key").write_bytes(locked)
    told = await cli(*LIST, "--url", before.url, *switches)
    assert told.code == 2
    assert said in told.err
