"""Wrong keys: refused again without the database, and looked up two at a time (`PacedRefusals` answers them slowly).

A key that was right lately never waits behind guesses, and nobody is refused for what others send from the same
address: behind a proxy all have one.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from domain.errors import InvalidApiKey

REMEMBERED: Final = 10_000
WRONG_FOR_SECONDS: Final = 10.0
"""A key that was made a moment ago is heard of after that."""
RIGHT_FOR_SECONDS: Final = 600.0
STRANGERS_AT_ONCE: Final = 2


class WrongKeys:
    """Of one server process. Keeps digests, never keys."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._wrong_until: OrderedDict[bytes, float] = OrderedDict()
        self._right_until: OrderedDict[bytes, float] = OrderedDict()
        self._strangers = asyncio.Semaphore(STRANGERS_AT_ONCE)

    @asynccontextmanager
    async def looked_up(self, key: str) -> AsyncIterator[None]:
        """Around the look-up of a key. Raises: InvalidApiKey: it was wrong a moment ago."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        is_known = self._right_until.get(digest, 0.0) > self._seconds()
        async with nullcontext() if is_known else self._strangers:
            if self._wrong_until.get(digest, 0.0) > self._seconds():
                raise InvalidApiKey
            try:
                yield
            except InvalidApiKey:
                self._right_until.pop(digest, None)
                _remember(self._wrong_until, digest, self._seconds() + WRONG_FOR_SECONDS)
                raise
        _remember(self._right_until, digest, self._seconds() + RIGHT_FOR_SECONDS)


def _remember(where: OrderedDict[bytes, float], digest: bytes, until: float) -> None:
    where[digest] = until
    where.move_to_end(digest)
    if len(where) > REMEMBERED:
        where.popitem(last=False)
