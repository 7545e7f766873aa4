"""check-config: every fault at once, and what is good as it was read, without secrets."""

import os

import pytest

from scheduler_svc.cli.run import run
from scheduler_svc.settings import load
from sealing import KEY_TEXT, OTHER_KEY_TEXT


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name == "DATABASE_URL" or name.startswith("SCHEDULER_"):
            monkeypatch.delenv(name)


def test_all_faults_are_told_at_once_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCHEDULER_PORT", "eighty")
    monkeypatch.setenv("SCHEDULER_LEASE", "1h")
    monkeypatch.setenv("SCHEDULER_WORKRES", "2")
    assert run(["check-config"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "3 setting(s)" in told.err
    for part in ("SCHEDULER_PORT", "SCHEDULER_LEASE", "did you mean SCHEDULER_WORKERS?"):
        assert part in told.err


def test_good_settings_are_shown_so_that_they_can_be_set_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "SCHEDULER_PROFILE": "development",
        "SCHEDULER_LEASE": "1m30s",
        "SCHEDULER_EGRESS_ALLOW": "10.0.0.0/8,intranet.test",
        "SCHEDULER_LISTEN": "no",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert run(["check-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "SCHEDULER_LEASE=1m30s" in lines
    assert load(dict(line.split("=", 1) for line in lines if "=" in line)) == load(given)


def test_secrets_are_masked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = "canary-of-sixteen-and-more"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{canary}@db.test/x")
    monkeypatch.setenv("SCHEDULER_BOOTSTRAP_KEY", canary)
    monkeypatch.setenv("SCHEDULER_SECRET_KEYS", f"{KEY_TEXT},{OTHER_KEY_TEXT}")
    monkeypatch.setenv("SCHEDULER_TRUSTED_PROXIES", "10.0.0.0/8")
    assert run(["check-config"]) == 0
    told = capsys.readouterr()
    for secret in (canary, KEY_TEXT, OTHER_KEY_TEXT):
        assert secret not in told.out + told.err
    assert "SCHEDULER_BOOTSTRAP_KEY=***" in told.out


def test_what_production_does_not_serve_with_is_told_all_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.test/x")
    assert run(["check-config"]) == 2
    told = capsys.readouterr().err
    assert "3 setting(s)" in told
    for part in ("plain HTTP on 0.0.0.0", "SCHEDULER_SECRET_KEYS: must be set", "an API key"):
        assert part in told
