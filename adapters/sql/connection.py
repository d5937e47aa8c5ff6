"""What repositories need of a connection."""

from typing import Any, Protocol

from sqlalchemy import CursorResult, Dialect, Executable, ScalarResult


class SqlConnection(Protocol):
    """Part of SQLAlchemy's `AsyncConnection`."""

    @property
    def dialect(self) -> Dialect: ...

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]: ...

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any: ...

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]: ...
