"""migrate: from an empty database to the schema of the build, and plain words where it can not."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from commands import call, free_port
from scheduler_svc.store import migrate


async def test_it_applies_what_is_missing_once_and_tells_how_far_it_is(empty_database: str) -> None:
    env = {"DATABASE_URL": empty_database}
    names = [one.name for one in migrate.shipped()]
    code, told = await call("migrate", "--status", env=env)
    assert (code, told.splitlines()) == (1, [f"{name}  to come" for name in names])
    code, told = await call("migrate", env=env)
    assert (code, told.splitlines()) == (0, [f"applied {name}" for name in names])
    assert await call("migrate", env=env) == (0, "nothing to apply")
    code, told = await call("migrate", "--status", env=env)
    assert code == 0
    assert all(" applied 2" in line for line in told.splitlines())


async def test_a_database_of_a_newer_build_is_refused_in_a_sentence(empty_database: str) -> None:
    await migrate.migrate(empty_database)
    connection = await asyncpg.connect(empty_database)
    await connection.execute(
        "INSERT INTO schema_migrations (number, name, sha256) VALUES (9999, '9999_later.sql', '')"
    )
    await connection.close()
    code, told = await call("migrate", env={"DATABASE_URL": empty_database})
    assert code == 2
    assert told.startswith("scheduler-svc: the database is at 9999_later.sql, newer than")
    assert "Traceback" not in told


async def test_a_database_that_is_away_is_told_in_a_sentence() -> None:
    address = f"postgresql://me:canary@127.0.0.1:{free_port()}/nowhere"
    code, told = await call("migrate", env={"DATABASE_URL": address})
    assert code == 1
    assert told.startswith("scheduler-svc: the database does not answer")
    assert "Traceback" not in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("granted", "fails"),
    [("USAGE", "schema_migrations"), ("CREATE, USAGE", "0022_sql_functions.sql")],
)
async def test_a_role_that_may_not_is_told_what_to_grant(
    empty_database: str, granted: str, fails: str
) -> None:
    parts = urlsplit(empty_database)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit(parts._replace(netloc=f"migrator_of_a_test:canary@{host}"))
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE ROLE migrator_of_a_test LOGIN PASSWORD 'canary'")
    try:
        await connection.execute(f"GRANT {granted} ON SCHEMA public TO migrator_of_a_test")
        code, told = await call("migrate", env={"DATABASE_URL": address})
    finally:
        await connection.execute("DROP OWNED BY migrator_of_a_test CASCADE")
        await connection.execute("DROP ROLE migrator_of_a_test")
        await connection.close()
    assert code == 2
    assert f"scheduler-svc: {fails} may not do what it must" in told
    assert "GRANT CREATE ON DATABASE" in told
    assert "Traceback" not in told
    assert "canary" not in told
