"""The clock of the database's machine, to compare ours with."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.outages import OutagesAsOverloaded
from application.ports.system import Clock


class DatabaseClock:
    """On SQLite it is this machine's own."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def now(self) -> datetime:
        """Raises: Overloaded."""
        if self._engine.dialect.name == "sqlite":
            return self._clock.now()
        with OutagesAsOverloaded():
            async with self._engine.connect() as connection:
                time: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return time.astimezone(UTC)
