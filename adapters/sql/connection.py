"""What repositories need of a connection."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sqlalchemy import CursorResult, Dialect, Executable, ScalarResult
from sqlalchemy.ext.asyncio import AsyncConnection

if TYPE_CHECKING:
    from adapters.sql.look_up import LookUp


class SqlReader(Protocol):
    """Outside of transactions: part of SQLAlchemy's `AsyncConnection`, and a shorter way for look-ups."""

    @property
    def dialect(self) -> Dialect: ...

    async def find(self, look_up: "LookUp", parameters: Mapping[str, str], /) -> Any: ...

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]: ...

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any: ...

    async def scalars(self, statement: Executable, parameters: Any = None, /) -> ScalarResult[Any]: ...


SqlConnection: TypeAlias = AsyncConnection | SqlReader
