"""How many uploads are in hand at once: each holds a file in memory, so their number bounds the memory.

Fair between accounts: one that is alone may take every slot; as soon as others ask too, nobody gets a new slot beyond
an equal share while more than half of all are taken.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from domain.account import AccountId
from domain.errors import Overloaded

RETRY_AFTER_SECONDS: Final = 2
WANTED_FOR_SECONDS: Final = 10.0
"""An account that asked this recently gets its share, whether it was refused or not: five tries of a refused one."""


class Admission:
    """A slot for each upload, taken before a byte of its body is read and given back when it is answered."""

    def __init__(self, max_uploads: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self.max_uploads = max_uploads
        self._seconds = seconds
        self._held: Counter[AccountId] = Counter()
        self._asked_at: dict[AccountId, float] = {}

    @property
    def in_hand(self) -> int:
        return self._held.total()

    @asynccontextmanager
    async def slot(self, account_id: AccountId, files: int = 1) -> AsyncIterator[None]:
        """A request that may hold several files takes as many slots, or all there are.

        Raises: Overloaded at once when they are taken, or the account has its share of them.
        """
        self._asked_at[account_id] = self._seconds()
        if self.in_hand and self.in_hand + files > self.max_uploads:
            raise Overloaded("Too many uploads are in hand. Try again shortly.", RETRY_AFTER_SECONDS)
        if 2 * self.in_hand >= self.max_uploads and self._held[account_id] >= self._share():
            raise Overloaded("Too many of your uploads are in hand. Try again shortly.", RETRY_AFTER_SECONDS)
        self._held[account_id] += files
        try:
            yield
        finally:
            self._held[account_id] -= files
            if not self._held[account_id]:
                del self._held[account_id]

    def _share(self) -> int:
        too_long_ago = self._seconds() - WANTED_FOR_SECONDS
        self._asked_at = {account: at for account, at in self._asked_at.items() if at > too_long_ago}
        return max(1, self.max_uploads // len(self._asked_at.keys() | self._held.keys()))
