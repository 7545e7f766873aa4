"""The certificate of our port: every reason not to take one, with the setting it is of."""

import datetime as dt
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from encryption import Files, files_in
from pem import chain_of, key_of
from scheduler_svc.service.certificate import Certificate, CertificateRefused
from scheduler_svc.settings import Settings


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return files_in(tmp_path)


def settings(files: Files, client_ca: Path | None = None) -> Settings:
    return Settings(
        tls_cert=str(files.cert),
        tls_key=str(files.key),
        tls_client_ca=None if client_ca is None else str(client_ca),
    )


def why(files: Files, client_ca: Path | None = None) -> str:
    with pytest.raises(CertificateRefused) as refused:
        Certificate(settings(files, client_ca))
    return str(refused.value)


def test_a_file_that_is_not_there_is_said_with_its_path(files: Files) -> None:
    files.cert.unlink()
    files.key.unlink()
    told = why(files)
    assert f"SCHEDULER_TLS_CERT: can not be read: No such file or directory ({files.cert})" in told
    assert "SCHEDULER_TLS_KEY: can not be read" in told


def test_both_files_are_judged_at_once(files: Files) -> None:
    files.put(files.cert, "x")
    files.put(files.key, "y")
    told = why(files)
    assert "SCHEDULER_TLS_CERT: is no certificate in PEM form" in told
    assert "SCHEDULER_TLS_KEY: is no private key in PEM form" in told


def test_a_key_beside_the_chain_is_refused_and_never_shown(files: Files) -> None:
    files.put(files.cert, files.cert.read_text() + files.key.read_text())
    told = why(files)
    assert told.startswith("SCHEDULER_TLS_CERT: holds a private key")
    assert files.key.read_text().splitlines()[1] not in told


def test_a_key_with_a_passphrase_is_refused_without_asking_the_terminal(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    files.put(files.key, encrypted.decode())
    assert "SCHEDULER_TLS_KEY: is encrypted; give the key without a passphrase" in why(files)


def test_a_certificate_of_tomorrow_is_refused(files: Files) -> None:
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    leaf = files.authority.issue_cert("localhost", not_before=tomorrow)
    files.put(files.key, key_of(leaf))
    files.put(files.cert, chain_of(leaf))
    assert "SCHEDULER_TLS_CERT: is not valid before" in why(files)


def test_a_certificate_that_has_expired_is_refused(files: Files) -> None:
    files.write(days=-1)
    assert "SCHEDULER_TLS_CERT: it expired on" in why(files).replace("certificate 1 of ", "")


def test_authorities_of_callers_that_are_none_are_refused(files: Files, tmp_path: Path) -> None:
    told = why(files, tmp_path / "none.pem")
    assert told == "SCHEDULER_TLS_CLIENT_CA: can not be read: No such file or directory"
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("x")
    told = why(files, nonsense)
    assert told.startswith("SCHEDULER_TLS_CLIENT_CA: can not be read: ")


def test_the_context_is_never_left_with_one_certificate_and_the_key_of_another(
    files: Files,
) -> None:
    certificate = Certificate(settings(files))
    before = certificate.ends
    other = trustme.CA().issue_cert("localhost")
    files.put(files.cert, chain_of(other))
    assert certificate.has_moved()
    with pytest.raises(CertificateRefused):
        certificate.read()
    assert certificate.ends == before
    assert not certificate.has_moved()


def test_the_warning_comes_two_weeks_before_the_end_or_in_the_last_third_of_a_short_life(
    files: Files,
) -> None:
    files.write(days=15)
    assert not Certificate(settings(files)).is_expiring()
    files.write(days=13)
    assert Certificate(settings(files)).is_expiring()
    now = dt.datetime.now(dt.UTC)
    for hours, expiring in ((80, False), (40, True)):
        leaf = files.authority.issue_cert(
            "localhost",
            not_before=now - dt.timedelta(hours=144 - hours),
            not_after=now + dt.timedelta(hours=hours),
        )
        files.put(files.key, key_of(leaf))
        files.put(files.cert, chain_of(leaf))
        assert Certificate(settings(files)).is_expiring() is expiring
