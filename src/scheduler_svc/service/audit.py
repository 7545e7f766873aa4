"""What the audit log needs of the settings: the keys of its codes, and how long it is kept."""

from scheduler_svc.domain.audit_chain import SealKey, seal_key
from scheduler_svc.engine.audit import AuditRules
from scheduler_svc.service.key_ring import keys_of
from scheduler_svc.settings import Settings
from scheduler_svc.store.vault import key_id


def rules(settings: Settings) -> AuditRules:
    """Return how the log is kept. Raise KeyFileRefused."""
    return AuditRules(keys=seal_keys(settings), retention_ms=int(settings.audit_retention * 1000))


def seal_keys(settings: Settings) -> tuple[SealKey, ...]:
    """Derive the keys of the codes from the key ring, newest first. Raise KeyFileRefused."""
    return tuple(seal_key(key_id(key), key) for key in keys_of(settings))
