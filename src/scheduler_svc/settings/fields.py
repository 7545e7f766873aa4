"""The settings as one frozen struct: names, types, bounds, meanings and defaults.

Promises that a secret is not shown by its repr. Knows nothing of the environment.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from scheduler_svc.domain import duration

MASK = "***"
SECRETS = frozenset(
    {"database_url", "read_database_url", "bootstrap_key", "secret_keys", "jwt_secret", "ping_url"}
)


def _text(description: str, **limits: Any) -> Meta:
    return Meta(description=description, **limits)


def _number(description: str, least: float, most: float) -> Meta:
    return Meta(description=description, ge=least, le=most)


def _seconds(description: str, least: str, most: str) -> Meta:
    """Bound a duration that is written like `15s` and held as seconds."""
    return Meta(
        description=description,
        ge=duration.milliseconds(least) / 1000,
        le=duration.milliseconds(most) / 1000,
        extra={"duration": True},
    )


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is SCHEDULER_ and its name in capitals, or DATABASE_URL; durations are seconds."""

    database_url: Annotated[
        str | None,
        _text("PostgreSQL 15 to 18; without it the development profile starts its own server"),
    ] = None
    read_database_url: Annotated[
        str | None,
        _text("a streaming standby that lists, history and forecasts are read from"),
    ] = None
    read_wait: Annotated[
        float, _seconds("how long such a read waits for the standby to catch up", "0s", "10s")
    ] = 0.1
    profile: Annotated[
        Literal["development", "production"],
        _text("development: no keys needed, on loopback only; production: everything strict"),
    ] = "production"
    host: Annotated[str, _text("address to listen on", min_length=1)] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, _number("port to listen on", 0, 65535)] = 8080
    tls_cert: Annotated[
        str | None, _text("our certificate, a file in PEM: its own first, then those above it")
    ] = None
    tls_key: Annotated[str | None, _text("its private key, a file in PEM")] = None
    tls_client_ca: Annotated[
        str | None, _text("authorities of callers: without a certificate of theirs nobody gets in")
    ] = None
    tls_reload: Annotated[
        float, _seconds("how often these files are looked at; SIGHUP does it at once", "1s", "1h")
    ] = 10.0
    connections_max: Annotated[
        int, _number("connections of callers; beyond it those that wait longest go", 10, 100_000)
    ] = 2000
    trusted_proxies: Annotated[
        tuple[str, ...], _text("networks of proxies that are believed: X-Forwarded-For, -Proto")
    ] = ()
    session_idle: Annotated[
        float, _seconds("how long a browser's session lasts that is not used", "1m", "30d")
    ] = 3600.0
    session_max: Annotated[
        float, _seconds("how long a browser's session lasts at most", "1m", "30d")
    ] = 12 * 3600.0
    cors_origins: Annotated[
        tuple[str, ...], _text("pages of other origins that may use the API: https://app.example")
    ] = ()
    public_url: Annotated[
        str | None, _text("where callers reach this service, for links and callbacks")
    ] = None
    data_dir: Annotated[
        str,
        _text("folder of the embedded server, its log, and development's own key", min_length=1),
    ] = ".data"
    log_format: Annotated[
        Literal["json", "console"], _text("one JSON object a line, or columns")
    ] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _text("the quietest level that is shown")
    ] = "info"
    log_successes_max: Annotated[
        int, _number("successes logged a second, runs and requests; 0 for all", 0, 1_000_000)
    ] = 0
    role: Annotated[
        Literal["all", "api", "engine"], _text("what this process does: serve, call, or both")
    ] = "all"
    workers: Annotated[int, _number("replicas started by one command", 1, 64)] = 1
    slots: Annotated[int, _number("runs held or open at once by a replica", 1, 100_000)] = 2000
    claim_batch: Annotated[int, _number("occurrences claimed in one transaction", 1, 10_000)] = 500
    lookahead: Annotated[float, _seconds("how far ahead work is claimed", "0s", "1m")] = 1.0
    poll: Annotated[float, _seconds("longest sleep between two looks", "100ms", "1m")] = 5.0
    lease: Annotated[float, _seconds("how long work stays with a silent replica", "2s", "10m")] = (
        15.0
    )
    heartbeat: Annotated[float, _seconds("how often a replica says it is alive", "200ms", "2m")] = (
        3.0
    )
    grace_time: Annotated[float, _seconds("what running attempts get at shutdown", "0s", "1h")] = (
        25.0
    )
    linger: Annotated[
        float, _seconds("how long requests are still answered after the order to stop", "0s", "5m")
    ] = 0.0
    pool_size: Annotated[int, _number("connections to the database, at most", 2, 200)] = 10
    statement_cache: Annotated[
        int, _number("prepared statements kept by a connection; 0 behind a pooler", 0, 10_000)
    ] = 200
    listen: Annotated[
        bool, _text("use LISTEN to wake at once; off behind a transaction pooler")
    ] = True
    hold_after: Annotated[
        float, _seconds("away for longer, what was missed waits; 0s: never", "0s", "365d")
    ] = 12 * 3600.0
    retention: Annotated[float, _seconds("how long history is kept", "1d", "3650d")] = 30 * 86_400.0
    audit_retention: Annotated[float, _seconds("how long the audit log is kept", "1d", "3650d")] = (
        400 * 86_400.0
    )
    retention_count: Annotated[
        int, _number("ended runs of each job that are kept, the newest; 0: all", 0, 10_000)
    ] = 0
    retention_max: Annotated[
        float,
        _seconds("longest that a namespace or a job may ask for; 0s: as above", "0s", "3650d"),
    ] = 0.0
    archive_dir: Annotated[
        str | None, _text("folder that days of history are written to before they are dropped")
    ] = None
    partitions_ahead: Annotated[int, _number("days of history made ahead", 1, 60)] = 3
    capture_bytes: Annotated[int, _number("bytes of a response body kept", 0, 1_048_576)] = 8192
    connections_per_target: Annotated[
        int, _number("open connections to one target's origin", 1, 10_000)
    ] = 64
    key_parallel_max: Annotated[
        int, _number("calls at once of a key without limits of its own; 0: no limit", 0, 1_000_000)
    ] = 0
    key_per_second_max: Annotated[
        float, _number("calls a second of such a key, whole above 1; 0: no limit", 0, 100_000)
    ] = 0.0
    key_share: Annotated[
        float, _number("part of the slots for a key whose calls do not come back", 0.01, 1)
    ] = 0.25
    namespace_share: Annotated[
        float, _number("part of the slots left free by others for one namespace", 0.01, 1)
    ] = 0.9
    breaker_failures: Annotated[
        int, _number("failures in a row that open a key's breaker; 0: never", 0, 10_000)
    ] = 10
    breaker_ratio: Annotated[
        float, _number("failures among the calls of the window that open it", 0.01, 1)
    ] = 0.8
    breaker_window: Annotated[
        float, _seconds("window of that ratio, with 20 calls in it", "1s", "1h")
    ] = 30.0
    breaker_wait: Annotated[float, _seconds("time to the first probe", "100ms", "1h")] = 10.0
    breaker_wait_max: Annotated[
        float, _seconds("longest time between two probes, to which it doubles", "100ms", "1d")
    ] = 300.0
    egress_allow: Annotated[
        tuple[str, ...], _text("denied targets that may be called: networks, hosts, ports")
    ] = ()
    egress_deny: Annotated[
        tuple[str, ...], _text("targets that may not be called, whatever is allowed")
    ] = ()
    ca_file: Annotated[str | None, _text("certificates trusted besides the system's")] = None
    bootstrap_key: Annotated[
        str | None, _text("a key with all rights, to make the first API key with")
    ] = None
    jwt_algorithm: Annotated[
        Literal["HS256", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"] | None,
        _text("accept identity tokens signed by this algorithm, and by no other"),
    ] = None
    jwt_issuer: Annotated[str | None, _text("`iss` of the tokens, to the letter")] = None
    jwt_audience: Annotated[str | None, _text("`aud` that the tokens are for")] = None
    jwt_jwks: Annotated[
        str | None, _text("the issuer's public keys: an https address, or a file")
    ] = None
    jwt_secret: Annotated[
        str | None, _text("the secret shared with the issuer, for HS256 only")
    ] = None
    jwt_leeway: Annotated[
        float, _seconds("by how much the issuer's clock may be apart", "0s", "1m")
    ] = 30.0
    jwt_namespace_claim: Annotated[
        str, _text("claim that names the namespace; without it, default", min_length=1)
    ] = "namespace"
    jwt_scope_claim: Annotated[
        str, _text("claim with the scopes, a list or separated by spaces", min_length=1)
    ] = "scope"
    secret_keys: Annotated[
        tuple[str, ...], _text("keys for secrets at rest, newest first: 32 bytes each, in base64")
    ] = ()
    rate_reads: Annotated[
        int, _number("requests a minute of one caller that change nothing; 0: any", 0, 10_000_000)
    ] = 60_000
    rate_writes: Annotated[
        int, _number("requests a minute of one caller that change something; 0: any", 0, 10_000_000)
    ] = 30_000
    rate_bulk: Annotated[
        int, _number("bulk requests a minute of one caller; 0: any", 0, 10_000_000)
    ] = 60
    rate_failed_logins: Annotated[
        int, _number("credentials of one address that fail in a minute; 0: any", 0, 10_000_000)
    ] = 60
    quota_jobs: Annotated[
        int, _number("jobs of a namespace that sets no quota of its own; 0: any", 0, 10_000_000)
    ] = 0
    quota_min_interval: Annotated[
        float, _seconds("shortest gap in a schedule of such a namespace; 0s: any", "0s", "365d")
    ] = 0.0
    quota_runs_per_minute: Annotated[
        int, _number("runs a minute of such a namespace; 0: any", 0, 10_000_000)
    ] = 0
    quota_body: Annotated[
        int, _number("bytes of a body that such a namespace sends; 0: the general limit", 0, 262144)
    ] = 0
    quota_backfill: Annotated[
        int, _number("runs of one backfill or replay of such a namespace; 0: any", 0, 1_000_000)
    ] = 0
    drift_max: Annotated[
        int, _number("jobs that other versions may move at start, unasked", 0, 10_000_000)
    ] = 100
    accept_drift: Annotated[
        bool, _text("start although other versions move more jobs than that")
    ] = False
    ping_url: Annotated[
        str | None, _text("address asked while this replica fires: a dead man's switch")
    ] = None
    ping_every: Annotated[float, _seconds("how often it is asked", "1s", "1h")] = 60.0
    replicas_wanted: Annotated[
        int, _number("replicas that claim work there should be, for the alert", 0, 1000)
    ] = 1
    metrics_jobs_max: Annotated[
        int, _number("jobs with a series of their own in the metrics", 0, 10_000)
    ] = 0
    trace_url: Annotated[
        str | None, _text("collector that spans are sent to, as OTLP over HTTP; needs `tracing`")
    ] = None
    trace_sample: Annotated[
        float, _number("part of traces that is sampled; targets are told of it too", 0, 1)
    ] = 1.0
    migrate_on_start: Annotated[bool, _text("bring the schema up to date before serving")] = False

    def __repr__(self) -> str:
        """Show every field but the values of secrets."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"Settings({shown})"

    def shown(self) -> dict[str, object]:
        """Give the fields for people to read, secrets masked."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: MASK if name in SECRETS and value else value for name, value in values.items()
        }


DEVELOPMENT: Mapping[str, object] = {
    "host": "127.0.0.1",
    "log_format": "console",
    "egress_allow": ("localhost", "127.0.0.0/8", "::1/128"),
    "migrate_on_start": True,
    "rate_reads": 0,
    "rate_writes": 0,
    "rate_bulk": 0,
    "rate_failed_logins": 0,
}
