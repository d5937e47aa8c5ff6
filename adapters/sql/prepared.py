"""Statements that touch one row by its key, and that nearly every request runs.

For each execution SQLAlchemy makes and takes apart some twenty objects, which takes four times as long as SQLite takes
to find the row. What would be found out again each time is kept here; in a transaction of PostgreSQL they run as all
others do.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Dialect, Insert, Select, Update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from adapters.sql.connection import SqlConnection

Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class DriverStatement:
    """A statement in the words of one database: what its driver takes and gives."""

    sql: str
    parameters: tuple[tuple[str, Convert | None], ...]
    """Their names, in the order in which the driver takes them."""
    fixed: dict[str, Any]
    """Those that the statement brings itself."""
    row: Callable[[Sequence[Any]], Any]
    converted: tuple[tuple[int, Convert], ...]
    """The columns that do not come as the type that we want."""

    def run(self, driver: sqlite3.Connection, parameters: dict[str, Any]) -> tuple[Any, int]:
        """By SQLite, at once. Returns: the row, if there is one, and how many rows were changed."""
        try:
            cursor = driver.execute(self.sql, self.arguments(parameters))
        except sqlite3.IntegrityError as error:
            raise IntegrityError(self.sql, None, error) from error
        return self.named(cursor.fetchone()), cursor.rowcount

    def arguments(self, parameters: dict[str, Any]) -> list[Any]:
        values = self.fixed | parameters
        return [values[name] if convert is None else convert(values[name]) for name, convert in self.parameters]

    def named(self, found: Sequence[Any] | None) -> Any:
        """A row of the driver with our types, its columns as attributes; None stays None."""
        if found is None:
            return None
        values = list(found)
        for column, convert in self.converted:
            values[column] = convert(values[column])
        return self.row(values)


class Prepared:
    """A statement that finds or changes one row at most. Built once, as a constant."""

    def __init__(self, statement: "Select[Any] | Insert | Update") -> None:
        self.statement = statement
        self.for_driver = cache(self._for_driver)

    async def row(self, connection: SqlConnection, **parameters: Any) -> Any:
        """The row that is found, its columns as attributes, or None."""
        if isinstance(connection, AsyncConnection):
            return (await connection.execute(self.statement, parameters)).one_or_none()
        found, _ = await connection.run(self, parameters)
        return found

    async def changes(self, connection: SqlConnection, **parameters: Any) -> int:
        """Change the row. Returns: 1, or 0 when there is none. Raises: sqlalchemy.exc.IntegrityError."""
        if isinstance(connection, AsyncConnection):
            return (await connection.execute(self.statement, parameters)).rowcount
        _, changed = await connection.run(self, parameters)
        return changed

    def _for_driver(self, dialect: Dialect) -> DriverStatement:
        compiled = self.statement.compile(dialect=dialect)
        names = compiled.positiontup or ()
        columns = self.statement.selected_columns if isinstance(self.statement, Select) else None
        return DriverStatement(
            sql=str(compiled),
            parameters=tuple((name, _to_driver(compiled.binds[name].type, dialect)) for name in names),
            fixed={name: compiled.binds[name].value for name in names if not compiled.binds[name].required},
            row=_named(columns.keys() if columns is not None else ()),
            converted=tuple(
                (number, convert)
                for number, column in enumerate(columns or ())
                if (convert := _from_driver(column.type, dialect)) is not None
            ),
        )


def _named(columns: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    row = namedtuple("Row", columns)  # type: ignore[misc]  # the names are known only now
    return row._make


def _to_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
