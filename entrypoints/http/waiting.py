"""How many requests of each account wait for a generation with their connection open."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from domain.account import AccountId

WAITING_PER_ACCOUNT: Final = 8
"""At once, in each server process: each holds a connection, and looks at its generation twice a second."""


class Waiting:
    """Counts those that wait."""

    def __init__(self) -> None:
        self._waiting: Counter[AccountId] = Counter()

    @contextmanager
    def slot(self, account_id: AccountId) -> Iterator[bool]:
        """Yields: whether one more may wait."""
        if self._waiting[account_id] >= WAITING_PER_ACCOUNT:
            yield False
            return
        self._waiting[account_id] += 1
        try:
            yield True
        finally:
            self._waiting[account_id] -= 1
            self._waiting += Counter()  # forgets accounts of which nobody waits
