"""TLS of our own port: a certificate that is renewed under callers, and refused where it is bad."""

import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import trustme

from commands import COMMAND, call, development, free_port, program
from encryption import Files, connected, files_in
from pem import ca_of, chain_of, key_of


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return files_in(tmp_path)


async def test_handshakes_get_the_new_certificate_and_old_connections_live_on(
    dsn: str, files: Files
) -> None:
    port = free_port()
    first = files.cert.read_bytes()
    env = development(dsn, port, **files.settings)
    async with program(*COMMAND, "serve", env=env) as running:
        assert f"https://127.0.0.1:{port}/jobs" in await running.line("API ")
        async with connected(port, files.caller()) as old:
            assert await old.status() == 200
            assert (old.version, old.alpn) == ("TLSv1.3", "http/1.1")
            fresh = files.write()
            running.tell(signal.SIGHUP)
            await running.line("certificate.loaded")
            async with connected(port, files.caller()) as new:
                assert await new.status() == 200
            assert new.serial == fresh
            assert old.serial != fresh
            assert await old.status() == 200
    assert first != files.cert.read_bytes()


async def test_files_that_change_are_seen_without_a_signal(dsn: str, files: Files) -> None:
    port = free_port()
    env = development(dsn, port, tls_reload="1s", **files.settings)
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        fresh = files.write()
        await running.line("certificate.loaded")
        async with connected(port, files.caller()) as new:
            assert new.serial == fresh


async def test_new_files_that_can_not_be_used_leave_the_old_ones_and_say_why(
    dsn: str, files: Files
) -> None:
    port = free_port()
    env = development(dsn, port, **files.settings)
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        async with connected(port, files.caller()) as before:
            pass
        broken: list[Callable[[], object]] = [
            lambda: files.put(files.cert, "nonsense"),
            lambda: files.put(files.cert, chain_of(files.authority.issue_cert("localhost"))),
            lambda: files.write(days=-1),
            files.key.unlink,
        ]
        for number, breaks in enumerate(broken, 1):
            breaks()
            running.tell(signal.SIGHUP)
            await running.line("certificate.refused", number)
            async with connected(port, files.caller()) as after:
                assert await after.status() == 200
            assert after.serial == before.serial
        for reason in ("is no certificate", "is not the key of", "expired on", "can not be read"):
            assert reason in running.output
        fresh = files.write()
        running.tell(signal.SIGHUP)
        await running.line("certificate.loaded")
        async with connected(port, files.caller()) as mended:
            assert mended.serial == fresh


async def test_every_replica_of_a_command_renews_its_certificate(dsn: str, files: Files) -> None:
    port = free_port()
    env = development(dsn, port, workers="2", **files.settings)
    async with program(*COMMAND, "serve", env=env) as running:
        assert "https://" in await running.line("API ")
        fresh = files.write()
        running.tell(signal.SIGHUP)
        await running.line("certificate.loaded", 2)
        for _ in range(10):
            async with connected(port, files.caller()) as new:
                assert new.serial == fresh
        running.tell(signal.SIGTERM)
        assert await running.end() == 0


async def test_what_is_older_than_tls_1_2_and_plain_http_get_no_answer(
    dsn: str, files: Files
) -> None:
    port = free_port()
    async with program(*COMMAND, "serve", env=development(dsn, port, **files.settings)) as running:
        await running.line("API ")
        old = files.caller()
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with connected(port, old):
                pass
        async with httpx2.AsyncClient() as http:
            with pytest.raises(httpx2.HTTPError):
                await http.get(f"http://127.0.0.1:{port}/healthz")
        async with connected(port, files.caller()) as good:
            assert await good.status() == 200


async def test_with_authorities_of_callers_only_their_certificates_get_in(
    dsn: str, files: Files, tmp_path: Path
) -> None:
    port, callers = free_port(), trustme.CA()
    authorities = tmp_path / "callers.pem"
    authorities.write_text(ca_of(callers))
    env = development(dsn, port, tls_client_ca=str(authorities), **files.settings)
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        known = files.caller()
        callers.issue_cert("someone").configure_cert(known)
        async with connected(port, known) as held:
            assert await held.status() == 200
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            async with connected(port, files.caller()) as stranger:
                await stranger.status()


async def test_the_end_of_the_certificate_is_a_metric_and_when_it_is_near_a_warning(
    dsn: str, files: Files
) -> None:
    port = free_port()
    files.write(days=3)
    async with program(*COMMAND, "serve", env=development(dsn, port, **files.settings)) as running:
        await running.line("certificate.expiring")
        await running.line("API ")
        async with httpx2.AsyncClient(verify=files.caller()) as http:
            page = (await http.get(f"https://127.0.0.1:{port}/metrics")).text
    assert 'scheduler_certificate_expires_seconds{worker="0"} 1.' in page


async def test_a_certificate_that_can_not_be_used_keeps_the_service_from_starting(
    dsn: str, files: Files
) -> None:
    files.put(files.key, key_of(files.authority.issue_cert("localhost")))
    env = development(dsn, free_port(), **files.settings)
    reason = "is not the key of the first certificate in SCHEDULER_TLS_CERT"
    for command in (("serve",), ("serve", "--workers", "2"), ("check-config",)):
        code, told = await call(*command, env=env)
        assert (code, told) == (2, f"scheduler-svc: SCHEDULER_TLS_KEY: {reason}")
