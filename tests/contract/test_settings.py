"""Settings: all faults at once, near misses, no secret shown, and a page that tells the truth."""

import base64
import re
from pathlib import Path

import pytest

from scheduler_svc.settings import Settings, SettingsRefused, load, refuse_unsafe, table
from scheduler_svc.telemetry import events
from sealing import KEY_TEXT, OTHER_KEY_TEXT

ROOT = Path(__file__).parents[2]
DATABASE = {"DATABASE_URL": "postgresql://someone:hunter2secret@db/scheduler"}


SECRET = "a-secret-of-thirty-two-bytes-and-more"
ISSUER = DATABASE | {
    "SCHEDULER_JWT_ALGORITHM": "RS256",
    "SCHEDULER_JWT_ISSUER": "https://id.test/",
    "SCHEDULER_JWT_AUDIENCE": "scheduler",
    "SCHEDULER_JWT_JWKS": "https://id.test/keys",
}
SHARED = ISSUER | {
    "SCHEDULER_JWT_ALGORITHM": "HS256",
    "SCHEDULER_JWT_JWKS": "",
    "SCHEDULER_JWT_SECRET": SECRET,
}


def _faults(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsRefused) as refused:
        load(environ)
    return {fault.name: fault.detail for fault in refused.value.faults}


def test_production_needs_no_more_than_a_database() -> None:
    settings = load(DATABASE)
    assert settings.profile == "production"
    assert settings.host == "0.0.0.0"
    assert settings.log_format == "json"
    assert settings.migrate_on_start is False
    assert settings.egress_allow == ()
    assert (settings.lease, settings.heartbeat, settings.retention) == (15.0, 3.0, 2_592_000.0)


HOSTS = "postgresql://someone:hunter2secret@db-1:5432,db-2:5433,[::1]:5434,db-3"


def test_an_address_may_name_several_hosts_of_which_one_takes_writes() -> None:
    address = f"{HOSTS}/scheduler?target_session_attrs=read-write"
    assert load({"DATABASE_URL": address}).database_url == address


@pytest.mark.parametrize("hosts", ["db-1:5432,db-2:x", "db-1:99999,db-2"])
def test_each_of_several_hosts_has_a_port_or_none(hosts: str) -> None:
    found = _faults({"DATABASE_URL": f"postgresql://{hosts}/scheduler"})
    assert "must be like" in found["DATABASE_URL"]


def test_development_needs_nothing_and_serves_loopback() -> None:
    settings = load({"SCHEDULER_PROFILE": "development"}, terminal=True)
    assert settings.database_url is None
    assert settings.host == "127.0.0.1"
    assert settings.log_format == "console"
    assert settings.migrate_on_start is True
    assert "127.0.0.0/8" in settings.egress_allow


def test_development_logs_json_where_nobody_reads_along() -> None:
    assert load({"SCHEDULER_PROFILE": "development"}).log_format == "json"


def test_what_is_given_wins_over_the_profile() -> None:
    given = {
        "SCHEDULER_PROFILE": "development",
        "SCHEDULER_EGRESS_ALLOW": "10.0.0.0/8, example.test",
    }
    assert load(given).egress_allow == ("10.0.0.0/8", "example.test")


def test_texts_become_values_of_their_types() -> None:
    settings = load(
        DATABASE
        | {
            "SCHEDULER_PORT": "9000",
            "SCHEDULER_LISTEN": "off",
            "SCHEDULER_LEASE": "1m30s",
            "SCHEDULER_HEARTBEAT": "500ms",
            "SCHEDULER_SECRET_KEYS": f"{KEY_TEXT}, {OTHER_KEY_TEXT},",
            "SCHEDULER_LOG_LEVEL": " debug ",
            "SCHEDULER_PUBLIC_URL": "",
        }
    )
    assert settings.port == 9000
    assert settings.listen is False
    assert settings.lease == 90.0
    assert settings.heartbeat == 0.5
    assert settings.secret_keys == (KEY_TEXT, OTHER_KEY_TEXT)
    assert settings.log_level == "debug"
    assert settings.public_url is None


def test_all_faults_are_told_at_once_under_the_names_of_the_variables() -> None:
    faults = _faults(
        {
            "SCHEDULER_PROT": "1",
            "SCHEDULER_PORT": "70000",
            "SCHEDULER_LEASE": "15",
            "SCHEDULER_ROLE": "leader",
            "SCHEDULER_LISTEN": "maybe",
            "SCHEDULER_SLOTS": "many",
        }
    )
    assert faults == {
        "SCHEDULER_PROT": "there is no such setting; did you mean SCHEDULER_PORT?",
        "SCHEDULER_PORT": "'70000' is not a whole number from 0 to 65535",
        "SCHEDULER_LEASE": "'15' is not a duration like 15s from 2s to 10m",
        "SCHEDULER_ROLE": "'leader' is not one of all, api, engine",
        "SCHEDULER_LISTEN": "'maybe' is not true or false",
        "SCHEDULER_SLOTS": "'many' is not a whole number from 1 to 100000",
    }


def test_every_entry_of_the_egress_lists_that_can_not_be_read_is_told_at_once() -> None:
    with pytest.raises(SettingsRefused) as refused:
        load(
            DATABASE
            | {
                "SCHEDULER_EGRESS_ALLOW": "10.0.0.0/8, fd00::/8:443, 10.0.0.1/8,*.svc.example:8443",
                "SCHEDULER_EGRESS_DENY": ":99999,[fd00::/8]:443,,http://a/",
                "SCHEDULER_PORT": "x",
            }
        )
    told = [(fault.name, fault.detail) for fault in refused.value.faults]
    assert [name for name, _ in told] == [
        "SCHEDULER_PORT",
        *["SCHEDULER_EGRESS_ALLOW"] * 2,
        *["SCHEDULER_EGRESS_DENY"] * 2,
    ]
    for entry, (_, detail) in zip(
        ("fd00::/8:443", "10.0.0.1/8", ":99999", "http://a/"), told[1:], strict=True
    ):
        assert entry in detail


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://u@h/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u@h:port/d"}, "DATABASE_URL"),
        ({"SCHEDULER_PROFILE": "development", "SCHEDULER_HOST": "0.0.0.0"}, "SCHEDULER_HOST"),
        (DATABASE | {"SCHEDULER_HEARTBEAT": "6s"}, "SCHEDULER_HEARTBEAT"),
        (DATABASE | {"SCHEDULER_PUBLIC_URL": "example.test"}, "SCHEDULER_PUBLIC_URL"),
        (DATABASE | {"SCHEDULER_BREAKER_WAIT": "6m"}, "SCHEDULER_BREAKER_WAIT"),
        (DATABASE | {"SCHEDULER_BOOTSTRAP_KEY": "short"}, "SCHEDULER_BOOTSTRAP_KEY"),
        (DATABASE | {"SCHEDULER_JWT_ISSUER": "https://id.test/"}, "SCHEDULER_JWT_ISSUER"),
        (ISSUER | {"SCHEDULER_JWT_SECRET": SECRET}, "SCHEDULER_JWT_SECRET"),
        (ISSUER | {"SCHEDULER_JWT_AUDIENCE": ""}, "SCHEDULER_JWT_AUDIENCE"),
        (ISSUER | {"SCHEDULER_JWT_JWKS": ""}, "SCHEDULER_JWT_JWKS"),
        (ISSUER | {"SCHEDULER_JWT_JWKS": "http://id.test/keys"}, "SCHEDULER_JWT_JWKS"),
        (ISSUER | {"SCHEDULER_JWT_ALGORITHM": "none"}, "SCHEDULER_JWT_ALGORITHM"),
        (ISSUER | {"SCHEDULER_JWT_LEEWAY": "61s"}, "SCHEDULER_JWT_LEEWAY"),
        (SHARED | {"SCHEDULER_JWT_SECRET": "short"}, "SCHEDULER_JWT_SECRET"),
        (DATABASE | {"SCHEDULER_TLS_CERT": "a.pem"}, "SCHEDULER_TLS_KEY"),
        (DATABASE | {"SCHEDULER_TLS_KEY": "a.pem"}, "SCHEDULER_TLS_CERT"),
        (DATABASE | {"SCHEDULER_TLS_CLIENT_CA": "a.pem"}, "SCHEDULER_TLS_CLIENT_CA"),
        (DATABASE | {"SCHEDULER_TRUSTED_PROXIES": "*"}, "SCHEDULER_TRUSTED_PROXIES"),
        (DATABASE | {"SCHEDULER_TRUSTED_PROXIES": "0.0.0.0/0"}, "SCHEDULER_TRUSTED_PROXIES"),
        (DATABASE | {"SCHEDULER_TRUSTED_PROXIES": "::/0"}, "SCHEDULER_TRUSTED_PROXIES"),
        (DATABASE | {"SCHEDULER_TRUSTED_PROXIES": "10.0.0.1/8"}, "SCHEDULER_TRUSTED_PROXIES"),
        (DATABASE | {"SCHEDULER_TRUSTED_PROXIES": "proxy.test"}, "SCHEDULER_TRUSTED_PROXIES"),
        (SHARED | {"SCHEDULER_JWT_JWKS": "/keys.json"}, "SCHEDULER_JWT_JWKS"),
    ],
)
def test_values_that_do_not_go_together_are_refused(environ: dict[str, str], variable: str) -> None:
    assert set(_faults(environ)) == {variable}


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.example",
        "null",
        "app.example",
        "https://app.example/",
        "https://app.example/path",
        "https://App.example",
        "https://user@app.example",
        "https://app.example:443",
        "ftp://app.example",
        "https://app.example:port",
        "https://",
    ],
)
@pytest.mark.parametrize("profile", ["development", "production"])
def test_what_is_no_exact_origin_is_refused(origin: str, profile: str) -> None:
    environ = DATABASE | {"SCHEDULER_PROFILE": profile, "SCHEDULER_CORS_ORIGINS": origin}
    assert set(_faults(environ)) == {"SCHEDULER_CORS_ORIGINS"}


def test_exact_origins_are_taken() -> None:
    given = "https://app.example,http://localhost:3000,https://[2001:db8::1]:8443"
    assert len(load(DATABASE | {"SCHEDULER_CORS_ORIGINS": given}).cors_origins) == 3


RING = {"SCHEDULER_SECRET_KEYS": KEY_TEXT}
LOOPBACK = {"SCHEDULER_HOST": "127.0.0.1"}


def _unsafe(environ: dict[str, str]) -> set[str]:
    with pytest.raises(SettingsRefused) as refused:
        refuse_unsafe(load(DATABASE | environ))
    return {fault.name for fault in refused.value.faults}


def test_production_says_every_reason_not_to_serve_at_once() -> None:
    every = {"SCHEDULER_HOST", "SCHEDULER_SECRET_KEYS", "SCHEDULER_BOOTSTRAP_KEY"}
    assert _unsafe({}) == every
    assert _unsafe(LOOPBACK) == every - {"SCHEDULER_HOST"}
    assert _unsafe(RING) == every - {"SCHEDULER_SECRET_KEYS"}
    assert _unsafe({"SCHEDULER_BOOTSTRAP_KEY": "x" * 16}) == every - {"SCHEDULER_BOOTSTRAP_KEY"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.test"])
def test_plain_http_that_others_reach_is_refused(host: str) -> None:
    assert "SCHEDULER_HOST" in _unsafe(RING | {"SCHEDULER_HOST": host})


@pytest.mark.parametrize(
    "safe",
    [
        LOOPBACK,
        {"SCHEDULER_HOST": "::1"},
        {"SCHEDULER_TRUSTED_PROXIES": "10.0.0.0/8"},
        {"SCHEDULER_TLS_CERT": "a.pem", "SCHEDULER_TLS_KEY": "b.pem"},
        {"SCHEDULER_PROFILE": "development", "SCHEDULER_SECRET_KEYS": ""},
    ],
)
def test_loopback_a_certificate_or_a_proxy_will_do(safe: dict[str, str]) -> None:
    refuse_unsafe(load(DATABASE | RING | safe))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_every_spelling_of_loopback_will_do_for_development(host: str) -> None:
    settings = load({"SCHEDULER_PROFILE": "development", "SCHEDULER_HOST": host})
    assert settings.host == host


def test_the_links_that_kubernetes_sets_are_no_typing_errors() -> None:
    links = {
        "SCHEDULER_SERVICE_HOST": "10.0.0.1",
        "SCHEDULER_SERVICE_PORT_HTTP": "80",
        "SCHEDULER_PORT_80_TCP_ADDR": "10.0.0.1",
        "SCHEDULER_SVC_PORT": "tcp://10.0.0.1:80",
    }
    assert load(DATABASE | links).port == 8080
    assert (
        "enableServiceLinks" in _faults({"SCHEDULER_PORT": "tcp://10.0.0.1:80"})["SCHEDULER_PORT"]
    )


def test_every_key_that_is_none_is_named_by_its_place_and_not_shown() -> None:
    short, twice = base64.b64encode(b"short").decode(), KEY_TEXT.rstrip("=")
    with pytest.raises(SettingsRefused) as refused:
        load(
            DATABASE
            | {
                "SCHEDULER_SECRET_KEYS": f"{KEY_TEXT},{short},no base64!,{twice}",
                "SCHEDULER_PORT": "x",
            }
        )
    told = [fault.detail for fault in refused.value.faults if fault.name == "SCHEDULER_SECRET_KEYS"]
    assert [detail.partition(";")[0] for detail in told] == [
        "key 2 has 5 bytes, not 32",
        "key 3 is not base64",
        "key 4 is key 1 again",
    ]
    assert len(refused.value.faults) == 4
    assert "no base64!" not in str(refused.value)


def test_secrets_appear_in_no_text() -> None:
    environ = DATABASE | {
        "SCHEDULER_BOOTSTRAP_KEY": "canary-bootstrap-key",
        "SCHEDULER_SECRET_KEYS": f"{KEY_TEXT},{OTHER_KEY_TEXT}",
    }
    settings = load(environ)
    canary_keys = {"SCHEDULER_SECRET_KEYS": "canary-ring-1,canary-ring-2"}
    texts = [repr(settings), str(settings), f"{settings}", str(settings.shown())]
    with pytest.raises(SettingsRefused) as refused:
        load(
            environ
            | canary_keys
            | {"DATABASE_URL": "mysql://u:hunter2secret@h/d", "SCHEDULER_PORT": "x"}
        )
    texts.append(str(refused.value))
    for text in texts:
        assert "canary" not in text
        assert "hunter2secret" not in text
        assert KEY_TEXT not in text
        assert OTHER_KEY_TEXT not in text
    assert "port=8080" in repr(settings)


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        load(DATABASE).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(("mark", "made"), [("settings", table), ("events", events.table)])
def test_the_page_for_operators_shows_the_tables_as_the_code_has_them(
    mark: str, made: object
) -> None:
    assert callable(made)
    page = (ROOT / "docs" / "operations.md").read_text()
    shown = re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", page, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == made()


def test_each_setting_has_a_meaning() -> None:
    rows = table().splitlines()[2:]
    assert len(rows) == len(Settings.__struct_fields__)
    assert all(row.split("|")[-2].strip() for row in rows)
