"""Tells a database that is away from a fault of ours, by the errors of asyncpg and of the system.

Promises one answer to "may it help to try again?"; decides nothing about when or how often.
"""

import asyncpg

# The connection is gone, or nobody knows what state it is in. What ran on it may have happened.
_BROKEN = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,  # the server's last words came to a connection at rest
)
# Another time the same may succeed. Everything else is a bug or a setting.
_AWAY = (
    *_BROKEN,
    OSError,  # refused, reset, no such socket; TimeoutError is one too
    asyncpg.OperatorInterventionError,  # starting up, shutting down, a statement's time-out
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, out of memory
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover left us on a standby
)


def is_database_away(error: BaseException) -> bool:
    """True when the database cannot serve just now and later may: wait, and say 503 meanwhile."""
    return isinstance(error, _AWAY) or _says_closed(error)


def is_broken(error: BaseException) -> bool:
    """True when the connection broke, so that another one may be whole."""
    return isinstance(error, _BROKEN) or _says_closed(error)


def is_worth_one_more(error: BaseException) -> bool:
    """True when the same work on another connection has a good chance at once."""
    rolled_back = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
    return is_broken(error) or isinstance(error, rolled_back)


def is_held_up(error: BaseException) -> bool:
    """True when others' transactions stood in the way of this one work, and the rest can go on."""
    return isinstance(
        error,
        asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError | asyncpg.SerializationError,
    )


def _says_closed(error: BaseException) -> bool:
    """Tell a connection that went away from a wrong call: asyncpg has one class for both."""
    if not isinstance(error, asyncpg.InterfaceError):
        return False
    return "closed" in str(error) or "closing" in str(error)
