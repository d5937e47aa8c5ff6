"""Writing to the embedded database: whoever waits for a lock does not hold up anybody else."""

import asyncio
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.unit_of_work import create_engine


async def test_the_event_loop_turns_while_a_transaction_waits_for_another(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/photos.db")
    async with engine.begin() as first:
        await first.execute(text("CREATE TABLE photos (id TEXT)"))
        second = asyncio.create_task(_insert(engine))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not second.done()
    assert await second == 1
    await engine.dispose()


async def _insert(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        return (await connection.execute(text("INSERT INTO photos VALUES ('one')"))).rowcount
