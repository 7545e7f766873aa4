"""Where the database is: at the given address, or in an embedded server for as long as needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scheduler_svc.settings import Settings
from scheduler_svc.store import embedded


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the address; raises EmbeddedRefused where there can be no embedded server."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = embedded.start(Path(settings.data_dir) / "postgres")
    try:
        yield server.dsn
    finally:
        server.stop()
