"""The key ring of a process: from the setting, or of development's own making."""

import stat
import threading
from pathlib import Path

import pytest

from commands import call
from scheduler_svc.service.key_ring import KeyFileRefused, key_ring
from scheduler_svc.settings import load
from sealing import KEY_TEXT, RING

PRODUCTION = {"DATABASE_URL": "postgresql://u@h/d"}


def _development(folder: Path) -> dict[str, str]:
    return {"SCHEDULER_PROFILE": "development", "SCHEDULER_DATA_DIR": str(folder)}


def test_the_keys_of_the_setting_are_the_ring_in_either_profile(tmp_path: Path) -> None:
    for environ in (PRODUCTION, _development(tmp_path)):
        ring = key_ring(load({**environ, "SCHEDULER_SECRET_KEYS": KEY_TEXT}))
        assert ring is not None
        assert ring.newest == RING.newest
    assert list(tmp_path.iterdir()) == []


def test_production_without_keys_has_no_ring() -> None:
    assert key_ring(load(PRODUCTION)) is None


def test_development_makes_a_key_of_its_own_that_only_its_account_reads(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    ring = key_ring(load(_development(folder)))
    (file,) = folder.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("secret.key", 0o600)
    again = key_ring(load(_development(folder)))
    assert ring is not None
    assert again is not None
    assert again.newest == ring.newest


def test_replicas_that_start_together_share_one_key(tmp_path: Path) -> None:
    settings, found = load(_development(tmp_path)), set[str]()
    begin = threading.Barrier(8)

    def start() -> None:
        begin.wait()
        ring = key_ring(settings)
        assert ring is not None
        found.add(ring.newest)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_a_key_file_that_is_none_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("canary")
    with pytest.raises(KeyFileRefused, match=r"secret\.key can not be used") as refused:
        key_ring(load(_development(tmp_path)))
    assert "canary" not in str(refused.value)


async def test_the_service_does_not_start_on_a_broken_key_file(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("canary")
    env = {**_development(tmp_path), "DATABASE_URL": dsn, "SCHEDULER_PORT": "0"}
    code, told = await call("serve", env=env)
    assert code == 2
    assert "secret.key can not be used" in told
    assert "Traceback" not in told
