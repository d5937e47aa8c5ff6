"""How many uploads are in hand at once: each holds a file in memory, so their number bounds the memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import Overloaded


class Admission:
    """A slot for each upload, taken before a byte of its body is read and given back when it is answered."""

    def __init__(self, max_uploads: int) -> None:
        self._max_uploads = max_uploads
        self._in_hand = 0

    @asynccontextmanager
    async def slot(self, files: int = 1) -> AsyncIterator[None]:
        """A request that may hold several files takes as many slots. Raises: Overloaded at once when they are taken."""
        if self._in_hand > 0 and self._in_hand + files > self._max_uploads:
            raise Overloaded("Too many uploads are in hand. Try again shortly.", retry_after_seconds=2)
        self._in_hand += files
        try:
            yield
        finally:
            self._in_hand -= files
