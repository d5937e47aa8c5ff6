"""Statements that find one row by its key, and that nearly every request runs.

For each execution SQLAlchemy makes and takes apart some twenty objects, which takes four times as long as SQLite takes
to find the row. What would be found out again each time is kept here; in a transaction a look-up runs as all else does.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Dialect, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.sql.connection import SqlConnection


@dataclass(frozen=True, slots=True)
class PreparedLookUp:
    """A look-up in the words of one database: what its driver takes and gives."""

    sql: str
    parameters: tuple[str, ...]
    """Their names, in the order in which the driver takes them."""
    row: Callable[..., Any]
    converters: tuple[Callable[[Any], Any] | None, ...]

    def arguments(self, parameters: Mapping[str, str]) -> list[str]:
        return [parameters[name] for name in self.parameters]

    def named(self, found: Sequence[Any] | None) -> Any:
        """A row of the driver with our types, its columns as attributes; None stays None."""
        if found is None:
            return None
        pairs = zip(self.converters, found, strict=True)
        return self.row(*[value if convert is None else convert(value) for convert, value in pairs])


class LookUp:
    """A `select` that finds one row at most; all its parameters are strings. Built once, as a constant."""

    def __init__(self, statement: "Select[Any]") -> None:
        self.statement = statement
        self.prepared = cache(self._prepare)

    async def row(self, connection: SqlConnection, **parameters: str) -> Any:
        """The row, its columns as attributes, or None."""
        if isinstance(connection, AsyncConnection):
            return (await connection.execute(self.statement, parameters)).one_or_none()
        return await connection.find(self, parameters)

    def _prepare(self, dialect: Dialect) -> PreparedLookUp:
        compiled = self.statement.compile(dialect=dialect)
        columns = self.statement.selected_columns
        return PreparedLookUp(
            sql=str(compiled),
            parameters=tuple(compiled.positiontup or ()),
            row=namedtuple("Row", columns.keys()),
            converters=tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns),
        )
