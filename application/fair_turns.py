"""Turns at the photo workers, dealt round-robin over accounts: who sends a thousand photos delays only itself.

An account whose photos take long (over a second each, in the mean of the last ones) leaves one worker to the others at
any time: two photos of ten seconds would otherwise stop everybody.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from application.request_trace import Stage
from domain.account import AccountId
from domain.errors import Overloaded

LONG_SECONDS: Final = 1.0
WEIGHT_OF_THE_LAST: Final = 0.3
MAX_KNOWN_ACCOUNTS: Final = 1_000
LONGEST_WAIT_SECONDS: Final = 120.0
RETRY_AFTER_SECONDS: Final = 5


class FairTurns:
    """At most `places` turns at once."""

    def __init__(self, places: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self.places = places
        self._seconds = seconds
        self._running: Counter[AccountId] = Counter()
        self._waiting: dict[AccountId, deque[asyncio.Event]] = {}
        self._mean_seconds: dict[AccountId, float] = {}

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, account_id: AccountId) -> AsyncIterator[None]:
        """Raises: Overloaded when it does not come in time."""
        await self._wait(account_id)
        began = self._seconds()
        try:
            yield
        finally:
            self._learn(account_id, self._seconds() - began)
            self._running[account_id] -= 1
            self._deal()

    async def _wait(self, account_id: AccountId) -> None:
        mine = asyncio.Event()
        self._waiting.setdefault(account_id, deque()).append(mine)
        self._deal()
        if mine.is_set():
            return
        try:
            with Stage("queue"):
                async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                    await mine.wait()
        except BaseException as error:
            self._leave(account_id, mine)
            if isinstance(error, TimeoutError):
                raise Overloaded("Too many photos wait. Try again shortly.", RETRY_AFTER_SECONDS) from None
            raise

    def _leave(self, account_id: AccountId, mine: asyncio.Event) -> None:
        if mine.is_set():  # the turn came in the very moment of giving up
            self._running[account_id] -= 1
        else:
            self._waiting[account_id].remove(mine)
            if not self._waiting[account_id]:
                del self._waiting[account_id]
        self._deal()

    def _deal(self) -> None:
        """To the account with the fewest turns; among equals to the one whose last turn is longest ago."""
        while self._running.total() < self.places:
            ready = [account for account in self._waiting if self._running[account] < self._most(account)]
            if not ready:
                return
            account = min(ready, key=self._running.__getitem__)
            queue = self._waiting.pop(account)
            queue.popleft().set()
            self._running[account] += 1
            if queue:
                self._waiting[account] = queue  # behind all others

    def _most(self, account_id: AccountId) -> int:
        takes_long = self._mean_seconds.get(account_id, 0.0) > LONG_SECONDS
        return max(1, self.places - 1) if takes_long else self.places

    def _learn(self, account_id: AccountId, seconds: float) -> None:
        known = self._mean_seconds.pop(account_id, 0.0)
        self._mean_seconds[account_id] = known + WEIGHT_OF_THE_LAST * (seconds - known)
        if len(self._mean_seconds) > MAX_KNOWN_ACCOUNTS:
            del self._mean_seconds[next(iter(self._mean_seconds))]
