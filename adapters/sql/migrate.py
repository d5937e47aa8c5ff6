"""Migrations of the schema by Alembic: forward only, in one transaction, one process at a time."""

import re
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.engines import truncate_log
from adapters.sql.outages import BY_SQLITE, OUT_OF_REACH, OutagesAsOverloaded
from adapters.sql.schema import audit_log, metadata
from domain.customer import Pseudonyms
from domain.errors import Overloaded

MIGRATION_LOCK = 7_306_100_001
"""Any number that nobody else in the database uses: two replicas that start together migrate one after the other."""
MIGRATION_SECONDS = 60 * 60
"""For one statement: hours would be a case for an operator."""
LOCK_SECONDS = 5
ROLE_NAME = re.compile(r"[\w.-]{1,63}", re.ASCII)


def alembic_config() -> Config:
    """Where the migrations are; `attributes["connection"]` has to be set."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


@cache
def revisions() -> tuple[str, ...]:
    """All that this code knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def is_new_enough(connection: Connection) -> bool:
    """Whether this code can work on the schema.

    It can on a newer one too, whose revision it does not know: migrations only ever add, so that the version before
    goes on serving while, and after, the next one's migrations run.
    """
    current = _revision(connection)
    return current is not None and current not in revisions()[1:]


def _upgrade(connection: Connection, pseudonyms: Pseudonyms | None) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        # A new index on a large table may take its time, but not while everybody who serves waits behind a lock.
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    config = alembic_config()
    config.attributes.update(connection=connection, pseudonyms=pseudonyms)
    command.upgrade(config, "head")


def _newer_revision(connection: Connection) -> str | None:
    """The schema's revision, if it is one that only a newer version of this code knows."""
    current = _revision(connection)
    return None if current in (None, *revisions()) else current


class Migrator:
    """Upgrades the database behind an engine. A database that holds customers' ids is converted by `pseudonyms`."""

    def __init__(self, engine: AsyncEngine, pseudonyms: Pseudonyms | None = None) -> None:
        self._engine = engine
        self._pseudonyms = pseudonyms

    @property
    def is_embedded(self) -> bool:
        """SQLite: nobody else uses the database, so a server may upgrade it by itself when it starts."""
        return self._engine.dialect.name == "sqlite"

    @staticmethod
    def grants(role: str) -> tuple[str, ...]:
        """SQL, a statement each, by which `role` may serve on PostgreSQL and do no more. Raises: ValueError."""
        if not ROLE_NAME.fullmatch(role):
            raise ValueError("a role's name has letters, digits, '_', '-' and '.', 63 at most")
        tables = ", ".join(table.name for table in metadata.sorted_tables if table is not audit_log)
        rights = "SELECT, INSERT, UPDATE, DELETE ON"
        return (
            f'GRANT USAGE ON SCHEMA public TO "{role}";',
            f'GRANT {rights} {tables} TO "{role}";',
            f'REVOKE ALL ON audit_log FROM "{role}";',  # what the default of an earlier version gave
            f'GRANT SELECT, INSERT ON audit_log TO "{role}";',
            f'GRANT SELECT ON alembic_version TO "{role}";',
            # For the tables of later versions, which the same owner makes:
            f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} TABLES TO "{role}";',
        )

    async def revision(self) -> str | None:
        """The schema's revision; None when there is none yet. Raises: Overloaded."""
        self._make_file()
        try:
            with OutagesAsOverloaded():
                async with self._engine.connect() as connection:
                    return await connection.run_sync(_revision)
        finally:
            await self._engine.dispose()

    def _make_file(self) -> None:
        """Nobody else makes it. Raises: Overloaded."""
        database = self._engine.url.database
        if self.is_embedded and database:
            try:
                Path(database).parent.mkdir(parents=True, exist_ok=True)
                Path(database).touch()
            except OSError as error:
                cause, cure = BY_SQLITE["unable to open"]
                raise Overloaded(OUT_OF_REACH, cause=cause, advice=cure) from error

    async def upgrade(self) -> str:
        """Create or upgrade the schema, in one transaction; a no-op when it is up to date or newer.

        Returns: the revision. Raises: Overloaded, also when a table that it has to change is busy.
        """
        self._make_file()
        try:
            with OutagesAsOverloaded():
                async with self._engine.begin() as connection:
                    if current := await connection.run_sync(_newer_revision):
                        return current
                    await connection.run_sync(_upgrade, self._pseudonyms)
                if self.is_embedded:  # what was converted stays readable in the log until then
                    async with self._engine.connect() as connection:
                        await truncate_log(connection)
        finally:
            await self._engine.dispose()  # done once and for all: nobody keeps a connection for it
        return revisions()[0]
