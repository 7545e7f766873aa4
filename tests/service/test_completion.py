"""What callbacks are given by the settings: an address to report to, and a ring of keys."""

from base64 import b64encode
from pathlib import Path

import pytest

from scheduler_svc.service.completion import callbacks
from scheduler_svc.settings import Settings

NEW, OLD = b"n" * 32, b"o" * 32
RING = (b64encode(NEW).decode(), b64encode(OLD).decode())
OWN = ("127.0.0.1", 8080)


def test_the_ring_is_that_of_the_secrets_newest_first() -> None:
    assert callbacks(Settings(secret_keys=RING), OWN).keys == (NEW, OLD)


def test_production_needs_to_be_told_its_address() -> None:
    told = callbacks(Settings(secret_keys=RING), OWN)
    assert (told.url, told.fault) == (
        None,
        "needs an address to report to: set SCHEDULER_PUBLIC_URL",
    )
    named = callbacks(Settings(secret_keys=RING, public_url="https://s.example"), OWN)
    assert (named.url, named.fault) == ("https://s.example", None)


@pytest.mark.parametrize(
    ("own", "url"),
    [(OWN, "http://127.0.0.1:8080"), (("::1", 9000), "http://[::1]:9000")],
    ids=["IPv4", "IPv6"],
)
def test_in_development_a_replica_is_reported_to_where_it_listens(
    own: tuple[str, int], url: str
) -> None:
    assert callbacks(Settings(profile="development", secret_keys=RING), own).url == url


def test_without_a_key_production_says_what_to_set() -> None:
    fault = callbacks(Settings(public_url="https://s.example"), OWN).fault
    assert fault is not None
    assert "SCHEDULER_SECRET_KEYS" in fault


def test_development_makes_tokens_under_the_key_of_its_data_folder(tmp_path: Path) -> None:
    settings = Settings(profile="development", data_dir=str(tmp_path))
    told = callbacks(settings, OWN)
    assert told.fault is None
    assert callbacks(settings, OWN).keys == told.keys
