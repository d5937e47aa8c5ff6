"""Bring a database's schema to what this code needs (Alembic, forward only)."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATION_LOCK = 7_306_100_001
"""Any number that nobody else in the database uses: two replicas that start together migrate one after the other."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


@cache
def head() -> str | None:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def is_at_head(connection: Connection) -> bool:
    """Whether the schema is the one that this code needs."""
    return MigrationContext.configure(connection).get_current_revision() == head()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


class Migrator:
    """Upgrades the database behind an engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @property
    def is_embedded(self) -> bool:
        """SQLite: nobody else uses the database, so a server may upgrade it by itself when it starts."""
        return self._engine.dialect.name == "sqlite"

    async def upgrade(self) -> str | None:
        """Create or upgrade the schema, in one transaction; a no-op when it is up to date. Returns: the revision."""
        database = self._engine.url.database
        if self.is_embedded and database:
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        async with self._engine.begin() as connection:
            await connection.run_sync(_upgrade)
        return head()
