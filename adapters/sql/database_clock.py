"""The clock of the database's machine, to compare ours with."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.outages import OutagesAsOverloaded


class DatabaseClock:
    """On SQLite it is this machine's own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def now(self) -> datetime:
        """Raises: Overloaded."""
        if self._engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        with OutagesAsOverloaded():
            async with self._engine.connect() as connection:
                time: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return time.astimezone(UTC)
