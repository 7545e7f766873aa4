"""Settings that can be read and are still not what one wants in production."""

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.settings import SettingsRefused
from scheduler_svc.store.api_keys import any_key
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.replicas import database_now


def refused(settings: SettingsRefused) -> list[Finding]:
    """Turn what the settings are refused for into findings."""
    return [
        fault(
            "settings.refused",
            f"{one.name}: {one.detail}",
            "no replica starts with this",
            f"correct {one.name}; `scheduler-svc check-config` tries it",
        )
        for one in settings.faults
    ]


async def look(around: Surroundings) -> list[Finding]:
    """Judge what goes together and what is missing."""
    settings = around.settings
    found = []
    if settings.profile == "production" and not settings.secret_keys:
        found.append(
            warning(
                "settings.secret_keys",
                "SCHEDULER_SECRET_KEYS is not set",
                "jobs with secret headers, credentials or signatures are refused",
                "set SCHEDULER_SECRET_KEYS to the output of `openssl rand -base64 32`, the same for"
                " all replicas, and keep a copy apart from the backups",
            )
        )
    if settings.hold_after == 0:
        found.append(
            warning(
                "settings.hold_after",
                "SCHEDULER_HOLD_AFTER is 0s",
                "after a restore from a backup everything that it believes missed is sent at once",
                "unset SCHEDULER_HOLD_AFTER, or set it to the longest outage to catch up unasked",
            )
        )
    return found


async def look_for_keys(around: Surroundings, conn: Connection) -> list[Finding]:
    """See whether anybody could come in."""
    settings = around.settings
    if settings.profile != "production" or settings.bootstrap_key or settings.jwt_algorithm:
        return []
    if await any_key(conn, now_ms=epoch_ms(await database_now(conn))):
        return []
    return [
        fault(
            "settings.no_keys",
            "there is no API key, no SCHEDULER_BOOTSTRAP_KEY and no SCHEDULER_JWT_ALGORITHM",
            "the production profile asks everybody for credentials, so no replica starts",
            "scheduler-svc keys create --name admin --scopes admin --namespace '*'",
        )
    ]
