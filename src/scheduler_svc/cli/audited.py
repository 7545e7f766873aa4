"""Who a command is, for the audit log: the account and the machine it was called on."""

import getpass
import socket

from scheduler_svc.domain.audit import Actor


def caller() -> Actor:
    """Return who calls; an account without a name has its number."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    where = f"{name}@{socket.gethostname()}"
    return Actor(kind="cli", id=f"cli:{where}", name=where)
