"""The Python package over TLS: what the command line's file and variables name counts here too."""

import ssl
from pathlib import Path

import pytest

from balancer import a_balancer
from clients_support import Opener
from scheduler_client import Retry, Unanswered
from scheduler_client.place import Place, find_place
from scheduler_client.wire import trust
from scheduler_svc.cli.remote.trust import Files, context_of

ONCE = Retry(attempts=1)


async def test_files_of_the_environment_name_whom_to_trust_and_as_whom_to_come(
    address: str, asking: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with a_balancer(address, tmp_path) as one:
        with pytest.raises(Unanswered):
            await asking(one.url, retry=ONCE)("request", "GET", "/jobs")
        monkeypatch.setenv("SCHEDULER_CA_FILE", str(one.ca))
        with pytest.raises(Unanswered):
            await asking(one.url, retry=ONCE)("request", "GET", "/jobs")
        monkeypatch.setenv("SCHEDULER_CLIENT_CERT", str(one.cert))
        monkeypatch.setenv("SCHEDULER_CLIENT_KEY", f"~/{one.key.name}")
        answer = await asking(one.url, retry=ONCE)("request", "GET", "/jobs")
        assert answer.body["items"] == []
        monkeypatch.setenv("SCHEDULER_CLIENT_CERT", "")
        with pytest.raises(ValueError, match="needs its certificate"):
            asking(one.url)


def test_a_certificate_and_its_key_are_of_one_source(tmp_path: Path) -> None:
    file = tmp_path / "kept.toml"
    file.write_text('ca_file = "ca"\nclient_cert = "c"\nclient_key = "k"\n')
    kept = {"SCHEDULER_CONFIG": str(file)}
    found = find_place(environ=kept)
    assert (found.ca_file, found.client_cert, found.client_key) == ("ca", "c", "k")
    found = find_place(environ=kept | {"SCHEDULER_CLIENT_CERT": "both"})
    assert (found.ca_file, found.client_cert, found.client_key) == ("ca", "both", None)


def test_an_address_without_tls_needs_no_file_that_is_named_for_others() -> None:
    assert trust(Place("http://127.0.0.1:8080", ca_file="nowhere", client_cert="nowhere")) is True


async def test_a_certificate_also_serves_servers_that_ask_for_it_at_a_path(
    address: str, tmp_path: Path
) -> None:
    async with a_balancer(address, tmp_path) as one:
        place = Place(one.url, ca_file=str(one.ca), client_cert=str(one.both))
        of_the_package = trust(place)
        of_commands = context_of(Files(str(one.ca), str(one.both)))
    assert isinstance(of_the_package, ssl.SSLContext)
    assert of_the_package.post_handshake_auth
    assert of_commands.post_handshake_auth
