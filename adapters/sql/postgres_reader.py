"""Reading from PostgreSQL outside of transactions."""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import CursorResult, Dialect, Executable, ScalarResult
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.connection import SqlConnection
from adapters.sql.look_up import LookUp


class PostgresReader:
    """A connection for each look-up, or one for everything else from the first statement to the end of the block."""

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

    async def find(self, look_up: LookUp, parameters: Mapping[str, str], /) -> Any:
        """By the driver itself, which keeps the statement prepared."""
        prepared = look_up.prepared(self.dialect)
        pooled = await self._engine.raw_connection()
        try:
            found = await pooled.driver_connection.fetchrow(prepared.sql, *prepared.arguments(parameters))  # type: ignore[union-attr]
        except asyncpg.InterfaceError as error:
            raise InterfaceError(prepared.sql, None, error) from error
        except asyncpg.PostgresError as error:
            raise DBAPIError(prepared.sql, None, error) from error
        finally:
            pooled.close()  # back into the pool; there is no transaction to roll back, so nothing to wait for
        return prepared.named(found)

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
