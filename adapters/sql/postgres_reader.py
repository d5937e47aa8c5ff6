"""Reading from PostgreSQL outside of transactions."""

from typing import Any

import asyncpg
from sqlalchemy import CursorResult, Dialect, Executable, ScalarResult
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.connection import SqlConnection
from adapters.sql.prepared import Prepared


class PostgresReader:
    """A connection for each prepared statement; for all others one, from the first of them to the end of the block."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def __aenter__(self) -> SqlConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            await self._connection.close()

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def run(self, prepared: Prepared, parameters: dict[str, Any], /) -> tuple[Any, int]:
        """By the driver itself, which keeps the statement prepared."""
        statement = prepared.for_driver(self.dialect)
        pooled = await self._engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            found = await driver.fetchrow(statement.sql, *statement.arguments(parameters))
        except asyncpg.InterfaceError as error:
            raise InterfaceError(statement.sql, None, error) from error
        except asyncpg.PostgresError as error:
            raise DBAPIError(statement.sql, None, error) from error
        finally:
            pooled.close()  # back into the pool; there is no transaction to roll back, so nothing to wait for
        return statement.named(found), 0

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        return await (await self._opened()).execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        return await (await self._opened()).scalar(statement, parameters)

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]:
        return await (await self._opened()).scalars(statement, parameters)

    async def _opened(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = await self._engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        return self._connection
