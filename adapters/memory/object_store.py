"""Objects in a dictionary."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime


class InMemoryObjectStore:
    """Forgets everything when the process ends."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        self._objects[name] = bytes(data)

    async def get(self, name: str) -> bytes | None:
        return self._objects.get(name)

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        for name in names:
            self._objects.pop(name, None)
        return frozenset()

    async def names(self, after: str = "") -> AsyncIterator[str]:
        for name in sorted(self._objects):
            if name > after:
                yield name

    async def sweep(self, now: datetime) -> None:
        """No process leaves anything unfinished in its own memory."""

    async def check(self) -> None:
        """A dictionary is always there."""
