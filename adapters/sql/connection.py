"""What repositories need of a connection."""

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sqlalchemy import CursorResult, Dialect, Executable, ScalarResult
from sqlalchemy.ext.asyncio import AsyncConnection

if TYPE_CHECKING:
    from adapters.sql.prepared import Prepared


class ShortConnection(Protocol):
    """Part of SQLAlchemy's `AsyncConnection`, and a shorter way for prepared statements."""

    @property
    def dialect(self) -> Dialect: ...

    async def run(self, prepared: "Prepared", parameters: dict[str, Any], /) -> tuple[Any, int]:
        """Returns: the row that was found, or None, and how many rows were changed."""
        ...

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]: ...

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any: ...

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]: ...


SqlConnection: TypeAlias = AsyncConnection | ShortConnection
